"""Telling the lab's vCenter what only the outside world knows.

A host is gone, out of touch, or back; the vCenter itself is slow, away, or starts again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

import httpx

from lab.errors import LabError

TIMEOUT_S = 60.0


class Place(Protocol):
    """Whatever has a vCenter of the lab: an instance, or one that a test has started alone."""

    @property
    def vcenter_dir(self) -> Path:
        """Where its files are."""


def lose_host(place: Place, host: str) -> None:
    """A host is dead: it answers nobody, and vSphere HA acts on it."""
    _post(place, f"/host/{host}/lose")


def disconnect_host(place: Place, host: str) -> None:
    """A host's agent is out of touch; its machines go on running, and HA does nothing."""
    _post(place, f"/host/{host}/disconnect")


def regain_host(place: Place, host: str) -> None:
    """The host is back."""
    _post(place, f"/host/{host}/return")


def slow_vcenter(place: Place, delay_s: float) -> None:
    """Each call of the API takes so much longer, in seconds; 0 ends it."""
    _post(place, f"/service/slow?seconds={delay_s}")


def away_vcenter(place: Place, how: Literal["silent", "refused"]) -> None:
    """The API is gone: it accepts and never answers, or nobody listens. The process lives on."""
    _post(place, f"/service/{how}")


def back_vcenter(place: Place) -> None:
    """The API answers at once again."""
    _post(place, "/service/normal")


def restart_vcenter(place: Place) -> None:
    """The process starts again from what it has saved, as after a planned restart."""
    _post(place, "/service/restart")


def _post(place: Place, path: str) -> None:
    socket = place.vcenter_dir / "state" / "admin.sock"
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
