"""A lost host is silent on the wire; a plain kill is not (the negative control)."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from lab.faults import apply as faults
from lab.faults.record import Fault
from lab.hypervisor.machine import Machine
from tests.contract.lab import wire
from tests.contract.lab.bench import Bench, until

Pair = tuple[Machine, Machine]


def _watch(
    bench: Bench, pair: Pair, kind: str, target: str, file: Path
) -> tuple[Fault, list[dict[str, Any]], list[str]]:
    """Apply a fault to ``lab-a`` while ``lab-b`` talks with it; return what ``lab-b`` saw."""
    lost, peer = pair
    wire.serve(bench, lost.name)
    with wire.captured(peer, file) as frames, wire.talking(bench, peer.name, lost.name) as talk:
        fault = faults.apply(bench.instance, kind, target, {})
        assert not lost.is_on
        # Long enough for the peer to ask again for the address of one that went.
        with pytest.raises(AssertionError):
            until("the talk ends", lambda: talk.process.poll() is not None, 3)
        lines = list(talk.lines)
    return fault, frames, lines


def _from(frames: list[dict[str, Any]], mac: str, since: float) -> list[dict[str, Any]]:
    return [f for f in frames if f.get("from") == mac and f["at"] > since]


def _goodbyes(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [f for f in frames if {"fin", "rst"} & set(f.get("flags", []))]


def test_a_lost_host_sends_no_goodbye_and_the_peer_is_told_nothing(
    healed: Bench, pair: Pair, tmp_path: Path
) -> None:
    lost, peer = pair
    spec = lost.spec()
    assert spec
    host = healed.vm(lost.name).runtime.host.name
    fault, frames, lines = _watch(healed, pair, "host-lost", host, tmp_path / "frames")
    begun = datetime.fromisoformat(fault.applied_at).timestamp()
    sent = [f for f in frames if f.get("sent") and f["at"] > begun]
    assert any(f["what"] == "tcp" for f in sent), "the peer went on sending all the while"
    received = [f for f in frames if f.get("sent") is False and f["at"] > begun]
    assert _goodbyes(_from(received, spec.mac, begun)) == []
    assert [f for f in received if f["what"] == "icmp"] == []
    # In the moment between the record and the cut ordinary traffic may pass; then nothing does.
    cut = datetime.fromisoformat(_applied_at(healed, fault)).timestamp()
    assert _from(received, spec.mac, cut) == [], "frames of a machine that is cut, ARP or other"
    asked = [f for f in sent if f["at"] > cut]
    assert asked, "the peer had reason to be answered after the cut"
    assert not any(line.startswith(("closed", "error")) for line in lines)
    assert healed.vm(peer.name).runtime.powerState == "poweredOn"
    connection = healed.find(_host_kind(), host).runtime.connectionState
    assert connection == "notResponding"
    faults.heal(healed.instance, fault.id)
    assert healed.find(_host_kind(), host).runtime.connectionState == "connected"
    healed.power_on(lost.name)
    assert healed.agree()
    wire.serve(healed, lost.name)
    until("the peer hears it again", lambda: wire.reaches(healed, peer.name, lost.name))


def _applied_at(bench: Bench, fault: Fault) -> str:
    """Return when the fault was there in full, by the record."""
    lines = [json.loads(line) for line in bench.instance.faults_file.read_text().splitlines()]
    return str(next(x["at"] for x in lines if x["id"] == fault.id and x["event"] == "applied"))


def _host_kind() -> Any:
    from pyVmomi import vim

    return vim.HostSystem


def test_control_a_plain_kill_says_goodbye(healed: Bench, pair: Pair, tmp_path: Path) -> None:
    lost, peer = pair
    spec = lost.spec()
    assert spec
    wire.serve(healed, lost.name)
    with (
        wire.captured(peer, tmp_path / "frames") as frames,
        wire.talking(healed, peer.name, lost.name) as talk,
    ):
        faults.apply(healed.instance, "machine-kill", lost.name, {})
        until("the peer is told", lambda: talk.process.poll() is not None)
    assert _goodbyes(_from(frames, spec.mac, 0)), "a FIN or RST of the machine that was killed"
    faults.heal(healed.instance, "all")
    assert healed.agree()
