"""Each endpoint has a host name, which its clients verify."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.edge.test_front_door import run

pytestmark = pytest.mark.soak


def test_each_endpoint_is_asked_by_its_host_name(tmp_path: Path) -> None:
    """The control: another name is not taken, and no request is sent."""
    seen = run("names", tmp_path)
    names = [f"{name}.oslo.permafrost.internal" for name in ("chat", "pulse")]
    assert seen["told"] == names
    assert seen["asked"] == dict.fromkeys(names, "HTTP/1.1 200")
    assert "ostname mismatch" in seen["other"]
    assert seen["protocols"] == {"h2": "h2", "http/1.1": "http/1.1"}
