"""Is everything there that Permafrost works with, and what of it is a stand-in?"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from model_registry.http import httpx
from permafrost.engine.object_store import external_store
from permafrost.errors import PermafrostError
from permafrost.planning.knowledge import encrypted_connections, plain_connections
from permafrost.runbook.context import Context
from permafrost.runbook.doctor_registry import registry_findings
from permafrost.runbook.doctor_time import clock_findings, nodes_on
from permafrost.runbook.doctor_tls import certificate_findings
from permafrost.runbook.findings import Finding, Level

PULUMI_SDK = "pulumi"
VSPHERE_SDK = "pulumi-vsphere"
PULUMI_S = 60


def examine(ctx: Context) -> tuple[Finding, ...]:
    """Return every finding; nothing is changed."""
    return (
        *_tools(),
        *_engine(ctx),
        _vcenter(ctx),
        *_lab_only(ctx),
        *registry_findings(ctx),
        *_registry(ctx),
        _packages(ctx),
        *certificate_findings(ctx.loaded),
        *_clocks(ctx),
        _state(ctx),
        *_object_store(ctx),
        *_plain(ctx),
    )


def _object_store(ctx: Context) -> Iterator[Finding]:
    """Say how an external object store answers; nothing without one."""
    store = external_store(ctx.loaded)
    if store is None:
        return
    problems = ctx.object_store()
    level = Level.PROBLEM if problems else Level.OK
    told = "; ".join(p.message for p in problems) or f"{store.place}: it answers, with its key"
    yield Finding("object store", level, told, "; ".join(p.hint for p in problems))


def _plain(ctx: Context) -> Iterator[Finding]:
    """Say what passes between knowledge members as plain text, and what does not."""
    if ctx.site.knowledge is not None:
        if encrypted := encrypted_connections(ctx.site):
            told = f"{'; '.join(encrypted)}: TLS alone"
            yield Finding("knowledge, encrypted", Level.OK, told)
        plain = plain_connections(ctx.site)
        yield Finding(
            "knowledge, not encrypted",
            Level.EXPOSED,
            f"{'; '.join(plain)}: nftables lets in members alone",
            "a network of the members' own (knowledge.milvus.network), or an encrypted one",
        )


def _tools() -> Iterator[Finding]:
    yield Finding("python", Level.OK, platform.python_version())
    for package in ("ansible-core", "ansible-runner", "pyvmomi"):
        yield Finding(package, Level.OK, version(package))
    ssh = shutil.which("ssh")
    yield Finding("ssh", Level.OK if ssh else Level.PROBLEM, ssh or "install an OpenSSH client")


def _engine(ctx: Context) -> Iterator[Finding]:
    try:
        environment = ctx.provisioner.env()
    except PermafrostError as error:
        yield Finding("pulumi", Level.PROBLEM, _told(error))
        return
    pulumi = shutil.which("pulumi", path=environment["PATH"])
    if pulumi is None:
        yield Finding("pulumi", Level.PROBLEM, "not on PATH", "Pulumi of the pinned version")
        return
    wanted = f"v{version(PULUMI_SDK)}"
    found = _output([pulumi, "version"], environment)
    level = Level.OK if found == wanted else Level.PROBLEM
    yield Finding(
        "pulumi",
        level,
        f"{found} at {pulumi}" + ("" if level is Level.OK else f", the program needs {wanted}"),
    )
    yield _language_host(Path(pulumi), environment)
    yield _plugin(Path(environment["PULUMI_HOME"]), environment)


def _language_host(pulumi: Path, environment: dict[str, str]) -> Finding:
    host = shutil.which("pulumi-language-python", path=environment["PATH"])
    production = "the one of Pulumi's own release"
    if host is None:
        return Finding("language host", Level.PROBLEM, "not on PATH", production)
    provenance = pulumi.resolve().parent.parent / "provenance.json"
    known = json.loads(provenance.read_text()) if provenance.exists() else {}
    if known.get("language_host") == "stand-in":
        detail = f"our own, built on Pulumi's SDK: {host}"
        return Finding("language host", Level.STAND_IN, detail, production)
    return Finding("language host", Level.OK, host, production)


def _plugin(home: Path, environment: dict[str, str]) -> Finding:
    wanted = version(VSPHERE_SDK)
    production = f"pulumi-resource-vsphere {wanted} of Pulumi's own release"
    folder = home / "plugins" / f"resource-vsphere-v{wanted}"
    binary = folder / "pulumi-resource-vsphere"
    found = str(binary) if binary.exists() else shutil.which(binary.name, path=environment["PATH"])
    if found is None:
        hint = f"`pulumi plugin install resource vsphere {wanted}`"
        return Finding("vsphere plugin", Level.PROBLEM, f"not installed: {hint}", production)
    with Path(found).open("rb") as stream:
        is_real = stream.read(4) == b"\x7fELF"
    if is_real:
        return Finding("vsphere plugin", Level.OK, found, production)
    detail = f"our own, on pyvmomi, speaking the same protocol: {found}"
    return Finding("vsphere plugin", Level.STAND_IN, detail, production)


def _vcenter(ctx: Context) -> Finding:
    server = ctx.site.vcenter.server
    try:
        hosts = ctx.hypervisor.observe().hosts
    except PermafrostError as error:
        return Finding("vcenter", Level.PROBLEM, _told(error))
    wanted = {e.gpu.vendor_device for e in ctx.site.inference.values()}
    devices = sum(g.vendor_device in wanted for h in hosts for g in h.gpus)
    detail = f"{server}: {len(hosts)} hosts, {devices} GPUs of the kinds that the site asks for"
    if ctx.site.environment == "lab":
        return Finding(
            "vcenter", Level.STAND_IN, f"{detail}; a simulator", "VMware vCenter Server"
        )
    return Finding("vcenter", Level.OK, detail)


def _lab_only(ctx: Context) -> Iterator[Finding]:
    if ctx.site.environment == "lab":
        yield Finding(
            "hypervisor",
            Level.STAND_IN,
            "systemd-nspawn machines on this computer; their GPUs are names only",
            "ESXi hosts with passed-through GPUs",
        )
        yield Finding(
            "triton image",
            Level.STAND_IN,
            "built around the server binary of a Python package, CPU only",
            "NVIDIA's Triton container",
        )


def _registry(ctx: Context) -> Iterator[Finding]:
    for name, endpoint in sorted(ctx.site.inference.items()):
        try:
            facts = ctx.catalog.resolve(endpoint.model)
            has_image = ctx.catalog.has_image(endpoint.image)
        except PermafrostError as error:
            yield Finding(f"checkpoint of {name}", Level.PROBLEM, _told(error))
            continue
        well = facts.has_fingerprint and has_image
        detail = f"{endpoint.model}: {facts.files} files, {facts.bytes / 1e6:.1f} MB"
        detail += "" if facts.has_fingerprint else "; no fingerprint"
        detail += "" if has_image else f"; no image {endpoint.image}"
        yield Finding(f"checkpoint of {name}", Level.OK if well else Level.PROBLEM, detail)


def _packages(ctx: Context) -> Finding:
    packages = ctx.site.packages
    url = f"{packages.url.rstrip('/')}/dists/{packages.suite}/Release"
    try:
        answer = httpx.get(url, timeout=10, trust_env=False)
    except httpx.HTTPError as error:
        return Finding("packages", Level.PROBLEM, f"{url}: {error}")
    level = Level.OK if answer.status_code == 200 else Level.PROBLEM
    return Finding("packages", level, f"{url}: HTTP {answer.status_code}")


def _clocks(ctx: Context) -> Iterator[Finding]:
    try:
        asked = nodes_on(ctx.site, ctx.hypervisor.observe())
    except PermafrostError:
        return  # told where vCenter itself is looked at
    yield from clock_findings(ctx.site, ctx.clocks(n.name for n in asked))


def _state(ctx: Context) -> Finding:
    folder = ctx.loaded.state_dir
    mode = folder.stat().st_mode & 0o777
    if mode & 0o077:
        return Finding("state", Level.PROBLEM, f"{folder} is open to others: chmod 700 {folder}")
    free = shutil.disk_usage(folder).free / 1e9
    cut = [o.command for o in ctx.store.operations() if o.outcome == "CUT"]
    detail = f"{folder}, {free:.0f} GB free"
    return Finding("state", Level.OK, detail + (f"; cut short: {', '.join(cut)}" if cut else ""))


def _output(command: list[str], environment: dict[str, str]) -> str:
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PULUMI_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (done.stdout.strip() or done.stderr.strip())[:200]


def _told(error: PermafrostError) -> str:
    return "; ".join(f"{p.message}" for p in error.problems)
