"""HAProxy's runtime socket on the edges, reached over SSH."""

from permafrost.adapters.haproxy.runtime import HaproxyRuntime

__all__ = ["HaproxyRuntime"]
