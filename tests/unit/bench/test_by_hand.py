"""What the baseline changes on an edge comes back, wherever it was broken off."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.bench import by_hand
from tests.bench.endings import ENDINGS, ended_by_signals, undisturbed
from tests.bench.stock_config import stock_config

OURS, NEWER = "# ours\nbackend nobody\n", "# ours, deployed since\nbackend nobody\n"
STOCK = stock_config(9001, {"lab-pulse-01": "10.0.0.1"})


class Edge:
    """The files of an edge in a folder, and a ``systemctl`` that writes down how it is called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        program = folder / "bin/systemctl"
        program.write_text(f'#!/bin/sh\necho "$@" >> {folder}/calls\n', encoding="ascii")
        program.chmod(0o755)
        self.configuration.parent.mkdir(parents=True)
        self.configuration.write_text(OURS, encoding="ascii")

    @property
    def configuration(self) -> Path:
        return self.folder / "etc/haproxy/haproxy.cfg"

    @property
    def others(self) -> list[str]:
        found = [*self.configuration.parent.iterdir(), *self.folder.glob("run/**/*.conf")]
        return sorted(p.name for p in found if p != self.configuration)

    @property
    def calls(self) -> list[str]:
        log = self.folder / "calls"
        return log.read_text(encoding="ascii").splitlines() if log.exists() else []

    def sh(self, script: str) -> None:
        for place in ("/etc/haproxy/", "/run/systemd/"):
            script = script.replace(f" {place}", f" {self.folder}{place}")
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        subprocess.run(["sh", "-ec", script], check=True, env={"PATH": path})

    def install(self) -> None:
        self.sh(by_hand.INSTALL)
        unit = self.folder / by_hand.UNIT_FILE.removeprefix("/")
        unit.write_text("[Service]\n", encoding="ascii")


@pytest.fixture
def edge(tmp_path: Path) -> Edge:
    return Edge(tmp_path)


def test_file_and_unit_come_back_and_haproxy_starts_with_them(edge: Edge) -> None:
    edge.install()
    edge.configuration.write_text(STOCK, encoding="ascii")
    edge.sh(by_hand.RESTORE)
    assert edge.configuration.read_text(encoding="ascii") == OURS
    assert edge.others == []
    assert edge.calls == ["daemon-reload", "restart haproxy.service"]


def test_a_second_run_after_a_kill_keeps_ours_and_not_the_stock_one(edge: Edge) -> None:
    edge.install()
    edge.configuration.write_text(STOCK, encoding="ascii")
    edge.install()
    edge.sh(by_hand.RESTORE)
    assert edge.configuration.read_text(encoding="ascii") == OURS


def test_what_was_deployed_since_a_kill_is_not_overwritten(edge: Edge) -> None:
    edge.install()
    edge.configuration.write_text(NEWER, encoding="ascii")
    edge.sh(by_hand.RESTORE)
    assert edge.configuration.read_text(encoding="ascii") == NEWER
    assert edge.others == []


def test_killed_before_its_restart_it_is_restarted_by_the_next_one(edge: Edge) -> None:
    edge.install()  # and the file is ours again, of a restoration that ended there
    edge.sh(by_hand.RESTORE)
    assert "restart haproxy.service" in edge.calls


def test_an_edge_that_nobody_changed_is_not_restarted(edge: Edge) -> None:
    edge.sh(by_hand.RESTORE)
    assert edge.calls == ["daemon-reload"]
    assert edge.configuration.read_text(encoding="ascii") == OURS


def broken_off(number: signal.Signals, way_back: list[str]) -> None:
    """Get a signal in the middle of the work and again on the way back."""
    with ended_by_signals():
        try:
            os.kill(os.getpid(), number)
            way_back.append("nothing ended it")
        finally:
            with undisturbed():
                os.kill(os.getpid(), number)
                way_back.append("done")


@pytest.mark.parametrize("number", ENDINGS)
def test_a_signal_ends_the_work_and_never_the_way_back(number: signal.Signals) -> None:
    handler, way_back = signal.getsignal(number), list[str]()
    with pytest.raises(KeyboardInterrupt):
        broken_off(number, way_back)
    assert way_back == ["done"]
    assert signal.getsignal(number) == handler
