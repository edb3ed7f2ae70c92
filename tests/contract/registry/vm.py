"""What the registry's VM runs, on the loopback: the rendered configurations, and real servers.

HAProxy before Debian's docker-registry, told by the files of the golden site's registry; only
addresses, ports and folders are others, and what asks for root is left out.
"""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from permafrost.adapters.ansible.registry_variables import DATA_FOLDER, users_map
from permafrost.pki import SitePki
from permafrost.site.registry import NODES_USER
from tests.contract.edge.front import NOT_HERE
from tests.golden.ansible.rendering import golden_site, render

NODE = "tromso-registry-01"
LOOPBACK = "127.0.0.1"
WRITER, READER = ("permafrost", "who writes"), (NODES_USER, "who reads")
STARTS_WITHIN_S = 15


@dataclass
class RegistryVm:
    """``address`` is HAProxy's, ``ca_file`` the site's authority, ``folder`` holds the content."""

    address: str
    behind: str
    ca_file: Path
    folder: Path
    registry: subprocess.Popen[bytes]
    haproxy: subprocess.Popen[bytes]

    def restart(self) -> None:
        """Restart the registry behind HAProxy, as a change of its configuration does."""
        _end(self.registry)
        self.registry = _registry(self.folder, self.behind)


@contextmanager
def registry_vm(folder: Path, pki: SitePki | None = None) -> Iterator[RegistryVm]:
    """Run both servers for a block; without ``pki`` with an authority of their own."""
    pki = pki or SitePki(folder / "state", "tromso")
    made = pki.server_certificate(NODE, names=("localhost",), addresses=(IPv4Address(LOOPBACK),))
    (folder / "server.pem").write_text(made.certificate_pem + made.key_pem)
    users = users_map(golden_site("tromso"), WRITER[1], READER[1])
    (folder / "users.map").write_text(users)
    port, behind = _free_port(), _free_port()
    address = f"{LOOPBACK}:{port}"
    own = {
        "registry_port": behind,
        "registry_upload_secret": "(upload secret)",
        "registry_haproxy_address": LOOPBACK,
        "registry_haproxy_port": port,
    }
    text = render("registry/config.yml.j2", NODE, **own)
    assert DATA_FOLDER in text
    (folder / "registry.yml").write_text(text.replace(DATA_FOLDER, str(folder)))
    lines = render("haproxy/registry.cfg.j2", NODE, **own).splitlines()
    text = "\n".join(line for line in lines if not line.strip().startswith(NOT_HERE)) + "\n"
    text = text.replace("/etc/haproxy/tls/server.pem", str(folder / "server.pem"))
    text = text.replace("/etc/haproxy/registry-users.map", str(folder / "users.map"))
    (folder / "haproxy.cfg").write_text(text)
    listens = f"{LOOPBACK}:{behind}"
    vm = RegistryVm(
        address,
        listens,
        pki.ca_path,
        folder,
        _registry(folder, listens),
        _start(["haproxy", "-db", "-f", str(folder / "haproxy.cfg")], folder, address),
    )
    try:
        yield vm
    finally:
        _end(vm.haproxy)
        _end(vm.registry)


def context(vm: RegistryVm) -> ssl.SSLContext:
    """Return a context that trusts the site's authority alone."""
    return ssl.create_default_context(cafile=str(vm.ca_file))


def empty_image(folder: Path) -> Path:
    """Make an OCI layout with an image without any files, tagged ``any``; return the layout."""
    for step in (
        ["umoci", "init", "--layout", str(folder)],
        ["umoci", "new", "--image", f"{folder}:any"],
    ):
        subprocess.run(step, check=True, capture_output=True)
    return folder


def _registry(folder: Path, address: str) -> subprocess.Popen[bytes]:
    return _start(["docker-registry", "serve", str(folder / "registry.yml")], folder, address)


def _start(command: list[str], folder: Path, address: str) -> subprocess.Popen[bytes]:
    program = shutil.which(command[0])
    if program is None:
        pytest.fail(f"{command[0]} is not installed: make bootstrap installs it")
    with (folder / f"{command[0]}.log").open("ab") as log:
        process = subprocess.Popen([program, *command[1:]], stdout=log, stderr=log)
    host, port = address.split(":")
    deadline = time.monotonic() + STARTS_WITHIN_S
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return process
        except OSError:
            assert process.poll() is None, f"{command[0]} ended"
            assert time.monotonic() < deadline, f"{command[0]} does not listen"
            time.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
