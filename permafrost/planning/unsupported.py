"""What a site file may say, and a deployment cannot do yet: validated, placed, then refused.

A key that is stored and not acted on would be a promise nobody keeps. Each entry leaves this
list when what it names is built.
"""

from __future__ import annotations

from collections.abc import Iterator

from permafrost.errors import Problem
from permafrost.planning.milvus_versions import VERSIONS
from permafrost.site.knowledge import Milvus
from permafrost.site.model import Backend, GpuMode, Site

MOST_EDGES = 2
SERVED_BACKENDS = (Backend.LLAMACPP, Backend.PULSE)
WHY_NOT = {
    Backend.VLLM: "its templates never ran on hardware, and what it works on cannot be counted, "
    "so a drain would not know when it is done",
    Backend.TENSORRTLLM: "its templates never ran on hardware, and what it works on cannot be "
    "counted, so a drain would not know when it is done",
    Backend.ONNXRUNTIME: "an encoder generates no tokens, so no probe could prove a replica",
    Backend.PYTHON: "there is no template for code of one's own",
}
"""What stands against a backend that a site file may name."""


def unsupported(site: Site) -> tuple[Problem, ...]:
    """Return everything of a site that `deploy` refuses, each with its place and code."""
    return (*_endpoints(site), *_edge(site), *_rest(site))


def _not_yet(code: str, what: str, path: str, instead: str) -> Problem:
    return Problem(code, f"{what}: valid and placed, but not built yet", path, instead)


def _endpoints(site: Site) -> Iterator[Problem]:
    for name, endpoint in sorted(site.inference.items()):
        here = f"inference.{name}"
        if endpoint.gpu.mode is GpuMode.VGPU:
            yield _not_yet(
                "VGPU_UNSUPPORTED",
                f"vGPU profile {endpoint.gpu.profile}",
                f"{here}.gpu.mode",
                "use passthrough, or leave the endpoint out",
            )
        if endpoint.backend not in SERVED_BACKENDS:
            served = ", ".join(b.value for b in SERVED_BACKENDS)
            yield _not_yet(
                "BACKEND_UNSUPPORTED",
                f"backend {endpoint.backend.value} ({WHY_NOT[endpoint.backend]})",
                f"{here}.backend",
                f"served are: {served}",
            )


def _edge(site: Site) -> Iterator[Problem]:
    edge = site.edge
    if edge.nodes > MOST_EDGES:
        yield _not_yet(
            "EDGES_UNSUPPORTED", f"{edge.nodes} edges", "edge.nodes", f"set it to {MOST_EDGES}"
        )


def _milvus(milvus: Milvus) -> Iterator[Problem]:
    if not VERSIONS[milvus.version].is_verified:
        yield _not_yet(
            "MILVUS_VERSION_UNVERIFIED",
            f"the layout of Milvus {milvus.version}, which no test has run",
            "knowledge.milvus.version",
            f"served is: {', '.join(v.name for v in VERSIONS.values() if v.is_verified)}",
        )
    images = milvus.images
    if images is None or (milvus.roles.object_store and images.object_store is None):
        yield Problem(
            "MILVUS_IMAGES_MISSING",
            "the servers' images are not pinned",
            "knowledge.milvus.images",
            "name milvus, etcd, queue and (of a bundled one) object_store, each with its digest",
        )


def _rest(site: Site) -> Iterator[Problem]:
    if site.knowledge is not None:
        yield from _milvus(site.knowledge.milvus)
