"""Telling the lab's vCenter what only the outside world knows: a host is gone, or back."""

from __future__ import annotations

import httpx

from lab.errors import LabError
from lab.instance.model import Instance

TIMEOUT_S = 60.0


def lose_host(instance: Instance, host: str) -> None:
    """A host stopped answering."""
    _post(instance, f"/host/{host}/lose")


def regain_host(instance: Instance, host: str) -> None:
    """The host is back."""
    _post(instance, f"/host/{host}/return")


def _post(instance: Instance, path: str) -> None:
    socket = instance.vcenter_dir / "state" / "admin.sock"
    try:
        transport = httpx.HTTPTransport(uds=str(socket))
        with httpx.Client(transport=transport, timeout=TIMEOUT_S) as client:
            answer = client.post(f"http://vcenter{path}")
    except httpx.HTTPError as error:
        raise LabError("VCENTER_ADMIN", f"{socket}: {error}", "run permafrost-lab up") from error
    if answer.status_code != httpx.codes.OK:
        raise LabError("VCENTER_ADMIN", f"{path}: {answer.text.strip()}")
