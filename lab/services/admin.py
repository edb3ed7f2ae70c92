"""Telling the lab's vCenter what only the outside world knows.

A host is gone, out of touch, or back; the vCenter itself is slow, away, or starts again.
"""

from __future__ import annotations

from typing import Literal

import httpx

from lab.errors import LabError
from lab.instance.model import Instance

TIMEOUT_S = 60.0


def lose_host(instance: Instance, host: str) -> None:
    """A host is dead: it answers nobody, and vSphere HA acts on it."""
    _post(instance, f"/host/{host}/lose")


def disconnect_host(instance: Instance, host: str) -> None:
    """A host's agent is out of touch; its machines go on running, and HA does nothing."""
    _post(instance, f"/host/{host}/disconnect")


def regain_host(instance: Instance, host: str) -> None:
    """The host is back."""
    _post(instance, f"/host/{host}/return")


def slow_vcenter(instance: Instance, delay_s: float) -> None:
    """Each call of the API takes so much longer, in seconds; 0 ends it."""
    _post(instance, f"/service/slow?seconds={delay_s}")


def away_vcenter(instance: Instance, how: Literal["silent", "refused"]) -> None:
    """The API is gone: it accepts and never answers, or nobody listens. The process lives on."""
    _post(instance, f"/service/{how}")


def back_vcenter(instance: Instance) -> None:
    """The API answers at once again."""
    _post(instance, "/service/normal")


def restart_vcenter(instance: Instance) -> None:
    """The process starts again from what it has saved, as after a planned restart."""
    _post(instance, "/service/restart")


def _post(instance: Instance, path: str) -> None:
    socket = instance.vcenter_dir / "state" / "admin.sock"
    try:
        transport = httpx.HTTPTransport(uds=str(socket))
        with httpx.Client(transport=transport, timeout=TIMEOUT_S) as client:
            answer = client.post(f"http://vcenter{path}")
    except httpx.HTTPError as error:
        raise LabError("VCENTER_ADMIN", f"{socket}: {error}", "run permafrost-lab up") from error
    if answer.status_code != httpx.codes.OK:
        raise LabError(
            "VCENTER_ADMIN",
            f"{path}: {answer.text.strip()}",
            "look at the log of the lab's vCenter",
        )
