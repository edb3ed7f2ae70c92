"""Waiting for what only polling can tell."""

from __future__ import annotations

import threading

import pytest

from lab.provider.errors import CancelledError
from lab.provider.waiting import wait_until


def test_the_first_answer_is_returned() -> None:
    answers = iter([None, None, "there"])
    assert wait_until(lambda: next(answers), 5, threading.Event()) == "there"


def test_time_runs_out() -> None:
    assert wait_until(lambda: None, 0, threading.Event()) is None


def test_a_cancelled_wait_asks_no_more() -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(CancelledError):
        wait_until(lambda: "never asked", 5, cancelled)
