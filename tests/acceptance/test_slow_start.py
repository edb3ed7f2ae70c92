"""A replica that comes back is given requests by and by; without that it gets all new ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.driver import Cli, losses, traffic

pytestmark = pytest.mark.soak

On = Callable[[str], Any]
EDGES = ("lab-edge-01", "lab-edge-02")
NAME, OTHERS = "lab-pulse-02", ("lab-pulse-01", "lab-pulse-03")
CONFIG = "/etc/haproxy/haproxy.cfg"
AFTER_S = 2.0


@pytest.fixture
def without_slow_start(on: On) -> Iterator[None]:
    """The control: edges as HAProxy is by itself."""
    for edge in EDGES:
        on(edge).check_output(f"cp {CONFIG} /root/kept.cfg")
        on(edge).check_output(f"sed -i 's/slowstart 5s/slowstart 0/' {CONFIG}")
        on(edge).check_output("systemctl reload haproxy")
    yield
    for edge in EDGES:
        on(edge).check_output(f"cp /root/kept.cfg {CONFIG} && systemctl reload haproxy")


def share_soon_after(permafrost: Cli, lab: Cli, folder: Path) -> tuple[float, dict[str, Any]]:
    """Return what it has in flight two seconds after it is up, of what another one has."""
    permafrost.run("drain", NAME, "--yes")
    with traffic(lab, "pulse", 60, 300, 0.5, folder / "pulse.jsonl") as load:
        load.await_steady()
        done = permafrost.json("undrain", NAME, "--yes")
        load.end()
        summary = load.finish()
        records = [r for r in load.records() if r["replica"]]
    journal = permafrost.json("show", done["operation"])["journal"]
    told = next(e["at"] for e in journal
                if e["kind"] == "set-edges-to-ready" and e["phase"] == "DONE")  # fmt: skip
    first = min(_s(r["start"]) for r in records if r["replica"] == NAME)
    assert first >= _s(told) - 2, "nobody was sent there before"
    at = first + AFTER_S
    open_at = {
        name: sum(_s(r["start"]) <= at < _s(r["end"]) for r in records if r["replica"] == name)
        for name in (NAME, *OTHERS)
    }
    return open_at[NAME] / (sum(open_at[n] for n in OTHERS) / 2), summary


def test_a_replica_that_comes_back_is_given_requests_by_and_by(
    permafrost: Cli, lab: Cli, tmp_path: Path
) -> None:
    share, summary = share_soon_after(permafrost, lab, tmp_path)
    assert losses(summary) == (0, 0, 0), summary
    assert share < 0.7, share


def test_control_without_slow_start_it_has_as_many_at_once(
    permafrost: Cli, lab: Cli, tmp_path: Path, without_slow_start: None
) -> None:
    share, _ = share_soon_after(permafrost, lab, tmp_path)
    assert share > 0.7, share


def _s(told: str | float) -> float:
    if isinstance(told, int | float):
        return float(told)
    return datetime.fromisoformat(told).timestamp()
