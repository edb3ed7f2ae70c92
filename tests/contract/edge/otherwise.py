"""The edge's configuration with other ways to notice what is lost or late: controls."""

from __future__ import annotations

import re

CHECKS = r" check inter \d+ms fastinter .*? rise 1"


def with_defaults(text: str) -> str:
    """Return it with HAProxy's own ways to notice a lost server."""
    text = re.sub(r" tcp-ut \d+ms", "", text)
    text = re.sub(CHECKS, " check check-ssl check-alpn http/1.1", _direct(text))
    text = re.sub(r"    (option srvtcpka|srvtcpka-.*|option redispatch.*|retry-on.*)\n", "", text)
    text = re.sub(r"timeout connect \d+ms", "timeout connect 5s", text)
    return re.sub(r"    timeout check \d+ms\n", "", text)


def with_direct_checks(text: str) -> str:
    """Return it with checks that do TLS anew each time, and two late answers as proof of death."""
    quick = " check check-ssl check-alpn http/1.1 inter 400ms fastinter 150ms fall 2 rise 1"
    text = re.sub(CHECKS, quick, _direct(text))
    return re.sub(r"timeout check \d+ms", "timeout check 800ms", text)


def without_lines(what: str, text: str) -> str:
    """Return it without the lines that hold something."""
    return "".join(line for line in text.splitlines(keepends=True) if what not in line)


def _direct(text: str) -> str:
    return without_lines("http-check connect", text)
