"""A member's balancer on the loopback: a real HAProxy with the configuration that members get."""

from __future__ import annotations

import csv
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.instance.waiting import wait_until
from tests.golden.ansible.rendering import render

CHECKED_S = 20.0
Ask = Callable[[], dict[str, str]]
"""Says server -> how the balancer's own question to it went; empty before it has begun."""


@contextmanager
def balancer(folder: Path, node: str, tls: tuple[str, str], **variables: Any) -> Iterator[Ask]:
    """Run it with an authority and a member's own certificate and key, both PEM."""
    (folder / "ca.pem").write_text(tls[0])
    (folder / "server.pem").write_text(tls[1])
    admin = folder / "admin"
    text = (
        render("haproxy/stores.cfg.j2", node, **variables)
        .replace("/etc/haproxy/tls", str(folder))
        .replace("/run/haproxy/admin.sock", str(admin))
    )
    drop = ("    chroot ", "    user ", "    group ", "    log /dev/log")
    lines = [line for line in text.splitlines() if not line.startswith(drop)]
    (folder / "stores.cfg").write_text("\n".join(lines) + "\n")
    running = subprocess.Popen(["haproxy", "-db", "-f", str(folder / "stores.cfg")])
    try:
        yield lambda: _checks(admin)
    finally:
        running.kill()
        running.wait()


def await_checks(ask: Ask, wanted: Mapping[str, str]) -> None:
    """Wait until the balancer says of each server what is wanted: L7OK, L6RSP (TLS failed), ..."""

    def is_so() -> bool:
        found = ask()
        return all(found.get(name) == status for name, status in wanted.items())

    assert wait_until(is_so, CHECKED_S, 0.2), ask()


def _checks(admin: Path) -> dict[str, str]:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(admin))
            connection.sendall(b"show stat\n")
            rows = list(csv.DictReader(connection.makefile()))
    except OSError:
        return {}
    return {row["svname"]: row["check_status"] or "" for row in rows}
