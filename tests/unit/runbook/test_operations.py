"""Who an operation belongs to."""

from __future__ import annotations

import os
import pwd

import pytest

from permafrost.runbook.operations import operator


def test_the_operator_is_the_account_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "mallory")
    assert operator() == f"operator:{pwd.getpwuid(os.getuid()).pw_name}"
