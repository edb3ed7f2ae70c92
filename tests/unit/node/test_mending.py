"""A wish to be started anew is told once, and again only when it did not help."""

from __future__ import annotations

from pathlib import Path

from permafrost.node.mending import AGAIN_S, Mending


def test_asked_once_for_each_need(tmp_path: Path) -> None:
    file, mending = tmp_path / "restart-a", Mending(tmp_path, "a")
    assert not mending.look(needed=False, now=0)
    assert not file.exists()
    assert mending.look(needed=True, now=1)
    file.unlink()  # systemd has seen it
    assert not mending.look(needed=True, now=2)
    assert not file.exists()
    assert mending.look(needed=True, now=1 + AGAIN_S)
    file.unlink()
    assert not mending.look(needed=False, now=70)
    assert mending.look(needed=True, now=71)
    assert file.exists()
