"""What a person is told when ``pulumi`` fails."""

from __future__ import annotations

import json

from permafrost.adapters.pulumi_stack.changes import EventLog
from permafrost.adapters.pulumi_stack.command import Finished
from permafrost.adapters.pulumi_stack.failures import translate
from permafrost.errors import Failed, Held, PermafrostError, Refused


def failed(message: str, *, begun: bool = False) -> PermafrostError:
    log = EventLog()
    if begun:
        urn = (
            "urn:pulumi:lab::permafrost::vsphere:index/virtualMachine:VirtualMachine::lab-chat-01"
        )
        metadata = {"op": "update", "urn": urn, "type": "vsphere:index/virtualMachine:VM"}
        log.feed(json.dumps({"resourcePreEvent": {"metadata": metadata}}))
    log.feed(json.dumps({"diagnosticEvent": {"severity": "error", "message": message}}))
    return translate("up", Finished(255, "", "", timed_out=False), log)


def test_a_refusal_of_the_program_is_a_refusal_with_its_path_and_hint() -> None:
    error = failed("GPUS_TOO_FEW: inference.pulse.replicas: needs 3 hosts\n    free or add hosts")
    assert isinstance(error, Refused)
    (problem,) = error.problems
    assert problem.code == "GPUS_TOO_FEW"
    assert problem.path == "inference.pulse.replicas"
    assert problem.message == "needs 3 hosts"
    assert problem.hint == "free or add hosts"


def test_a_hook_that_refuses_after_something_began_is_a_failure_with_its_code() -> None:
    error = failed(
        'before hook "permafrost-drain" failed: DRAIN_BELOW_MIN_READY: lab-chat-01: not now',
        begun=True,
    )
    assert isinstance(error, Failed)
    assert error.code == "DRAIN_BELOW_MIN_READY"


def test_the_node_is_told_from_a_message_with_colons_of_its_own() -> None:
    (problem,) = failed(
        "Exception calling application: CONVERGE_FAILED: lab-pulse-03: triton: Restart Triton"
        " slot a: Unable to start service",
        begun=True,
    ).problems
    assert problem.path == "lab-pulse-03"
    assert problem.message == "triton: Restart Triton slot a: Unable to start service"


def test_a_resource_that_waits_for_the_registrys_content_is_told_by_its_code() -> None:
    error = failed(
        "Exception calling application: REGISTRY_NOT_FILLED: registry.node: it lacks 2 of what the"
        " site pins\n    push them\nIMAGE_MISSING: inference.pulse.image: the registry has it not",
        begun=True,
    )
    assert isinstance(error, Failed)
    assert [p.code for p in error.problems] == ["REGISTRY_NOT_FILLED"]


def test_a_message_without_a_node_is_kept_whole() -> None:
    (problem,) = failed("SITE_NOT_NAMED: the environment names none: say which").problems
    assert (problem.path, problem.message) == ("", "the environment names none: say which")


def test_a_site_that_is_held_is_held() -> None:
    message = 'before hook "x" failed: SITE_HELD: deploy holds the site since noon'
    assert isinstance(failed(message, begun=True), Held)


def test_pulumis_own_lock_is_held_too() -> None:
    error = failed("the stack is currently locked by 1 lock(s). Either wait for …")
    assert isinstance(error, Held)
    assert error.code == "PULUMI_STACK_LOCKED"


def test_a_failure_of_the_provider_is_told_in_its_words() -> None:
    error = failed("timeout waiting for an available IP address", begun=True)
    assert isinstance(error, Failed)
    assert error.code == "PULUMI_FAILED"
    assert "available IP address" in error.problems[0].message


def test_the_engines_echo_of_a_program_that_said_why_is_left_out() -> None:
    log = EventLog()
    for message in (
        "SITE_NOT_NAMED: PERMAFROST_SITE: the environment names no site file",
        "an unhandled error occurred: Program exited with non-zero exit code: 1",
    ):
        log.feed(json.dumps({"diagnosticEvent": {"severity": "error", "message": message}}))
    error = translate("up", Finished(255, "", "", timed_out=False), log)
    assert [p.code for p in error.problems] == ["SITE_NOT_NAMED"]


def test_stderr_speaks_where_there_were_no_events() -> None:
    error = translate("stack", Finished(1, "", "error: incorrect passphrase\n", False), None)
    assert "incorrect passphrase" in str(error)


def test_a_deadline_says_so() -> None:
    assert translate("up", Finished(-9, "", "", timed_out=True), EventLog()).code == (
        "PULUMI_DEADLINE"
    )
