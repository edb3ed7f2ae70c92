"""What the engine says of a stack whose files are not at hand."""

from __future__ import annotations

import json

import pytest

from permafrost.adapters.pulumi_stack.backend import Backend
from permafrost.adapters.pulumi_stack.command import Finished
from permafrost.adapters.pulumi_stack.elsewhere import exported, require_free, require_no_update
from permafrost.errors import Failed, Held

BUCKET = Backend("s3://bucket?region=x")
DATABASE = Backend("postgres://me:hush@db/state")
SERVICE = Backend("https://api.pulumi.com")
LOCKED = (
    "SDK 2026/11/26 WARN no checksum\n"
    "error: could not create stack: the stack is currently locked by 1 lock(s). Either wait …\n"
    "  s3://bucket/.pulumi/locks/x.json: created by me@far (pid 7) at 2026-11-26T10:00:00Z\n"
)


def said(stderr: str = "", stdout: str = "", status: int = 1, late: bool = False) -> Finished:
    return Finished(status, stdout, stderr, late)


def rows(**of_ours: object) -> Finished:
    ours = {"name": "acme/lab", **of_ours}
    return said(stdout=json.dumps([{"name": "lab-2", "updateInProgress": True}, ours]), status=0)


def test_an_exported_state_is_read() -> None:
    text = json.dumps({"version": 3, "deployment": {"pending_operations": [1]}})
    assert exported(BUCKET, said(stdout=text, status=0)) == {"pending_operations": [1]}
    fresh = json.dumps({"version": 3, "deployment": None})
    assert exported(BUCKET, said(stdout=fresh, status=0)) == {}


def test_no_stack_is_told_from_no_answer() -> None:
    assert exported(BUCKET, said("error: no stack named 'lab' found\n")) is None
    for nothing in (said("error: no credentials"), said(late=True), said(stdout="<p>", status=0)):
        with pytest.raises(Failed) as caught:
            exported(BUCKET, nothing)
        assert caught.value.code == "PULUMI_BACKEND_UNREACHABLE"
        assert caught.value.problems[0].path == "control.pulumi_backend"


def test_a_password_in_the_backends_url_is_not_repeated() -> None:
    with pytest.raises(Failed) as caught:
        exported(DATABASE, said(f"error: unable to open bucket {DATABASE.url}: refused"))
    assert "hush" not in str(caught.value)
    assert "refused" in str(caught.value)


def test_a_stack_is_free_only_when_the_engine_says_so() -> None:
    require_free(BUCKET, said("error: stack 'organization/permafrost/lab' already exists\n"))
    with pytest.raises(Held) as held:
        require_free(BUCKET, said(LOCKED))
    assert held.value.code == "PULUMI_STACK_LOCKED"
    assert "me@far (pid 7)" in str(held.value)
    assert "WARN" not in str(held.value)
    assert "pulumi cancel" in held.value.problems[0].hint
    for unclear in (said("error: no credentials"), said("Created stack 'lab'", status=0)):
        with pytest.raises(Failed):
            require_free(BUCKET, unclear)


def test_pulumis_service_is_asked_for_an_update_that_runs() -> None:
    require_no_update(SERVICE, "lab", rows(updateInProgress=False))
    require_no_update(SERVICE, "lab", rows())
    with pytest.raises(Held):
        require_no_update(SERVICE, "lab", rows(updateInProgress=True))
    for unclear in (said("error: unauthorized"), said(stdout="[]", status=0), said(status=0)):
        with pytest.raises(Failed):
            require_no_update(SERVICE, "lab", unclear)
