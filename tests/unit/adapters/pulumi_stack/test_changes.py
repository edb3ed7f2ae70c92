"""Engine events, as recorded from ``pulumi up --json``."""

from __future__ import annotations

import json
from typing import Any

from permafrost.adapters.pulumi_stack.changes import Change, EventLog

VM = "vsphere:index/virtualMachine:VirtualMachine"


def resource(kind: str, operation: str, type_: str = VM, name: str = "lab-chat-01") -> str:
    urn = f"urn:pulumi:lab::permafrost::{type_}::{name}"
    metadata: dict[str, Any] = {"op": operation, "urn": urn, "type": type_}
    return json.dumps({"sequence": 1, kind: {"metadata": metadata}})


def test_what_stays_the_same_is_no_change() -> None:
    log = EventLog()
    assert log.feed(resource("resourcePreEvent", "same")) is None
    assert log.feed(resource("resourcePreEvent", "refresh")) is None
    assert log.summary() == ()
    assert not log.has_begun


def test_the_three_events_of_a_replacement_are_one_change() -> None:
    log = EventLog()
    for operation in ("delete-replaced", "replace", "create-replacement"):
        log.feed(resource("resourcePreEvent", operation))
    assert log.summary() == (Change("replace", VM, "lab-chat-01"),)


def test_pulumis_own_books_are_not_listed() -> None:
    log = EventLog()
    log.feed(resource("resourcePreEvent", "create", "pulumi:pulumi:Stack", "permafrost-lab"))
    log.feed(resource("resourcePreEvent", "create", "permafrost:infra:EdgeVm", "lab-edge-01"))
    assert log.summary() == ()


def test_progress_says_what_happens_to_which_node() -> None:
    log = EventLog()
    begun = log.feed(resource("resourcePreEvent", "update"))
    done = log.feed(resource("resOutputsEvent", "update"))
    failed = log.feed(resource("resOpFailedEvent", "update"))
    assert [begun, done, failed] == [
        "update VirtualMachine lab-chat-01: begun",
        "update VirtualMachine lab-chat-01: done",
        "update VirtualMachine lab-chat-01: failed",
    ]


def test_errors_are_kept_and_debug_noise_is_not_shown() -> None:
    log = EventLog()
    event = {"diagnosticEvent": {"severity": "error", "message": "it broke\n"}}
    assert log.feed(json.dumps(event)) is None
    noise = {"diagnosticEvent": {"severity": "debug", "message": "registering"}}
    assert log.feed(json.dumps(noise)) is None
    assert log.errors == ["it broke"]


def test_lines_that_are_no_events_are_passed_over() -> None:
    log = EventLog()
    assert log.feed("Previewing update (lab):\n") is None
    assert log.feed("[1, 2]") is None
    assert log.summary() == ()


def test_what_differs_is_kept_from_whichever_event_of_a_replacement_tells_it() -> None:
    log = EventLog()
    log.feed(resource("resourcePreEvent", "delete-replaced"))
    event = json.loads(resource("resourcePreEvent", "create-replacement"))
    event["resourcePreEvent"]["metadata"] |= {
        "detailedDiff": {"clone.templateUuid": {"kind": "update", "inputDiff": True}},
        "old": {"inputs": {"numCpus": 4}, "outputs": {"powerState": "on", "numCpus": 2}},
        "new": {"inputs": {"numCpus": 8}},
    }
    log.feed(json.dumps(event))
    (change,) = log.summary()
    assert change.operation == "replace"
    assert change.properties == {"clone.templateUuid": "update"}
    assert (change.old, change.new) == ({"powerState": "on", "numCpus": 4}, {"numCpus": 8})
