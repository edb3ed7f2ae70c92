"""Another checkpoint, another chat template, planted past the verification of bytes.

Verification at each load refuses other bytes before Triton starts (seen in test_nodes.py). Here
somebody has got around it: the slot's Triton really loads the planted tree under the pinned name.
Then behaviour is what is left: the replica's probe differs, it never enters rotation, and no
client is answered by it. Control: asked on its own machine the planted server does answer, with
other tokens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import replica_state
from tests.acceptance.driver import Cli, traffic, wait_until
from tests.acceptance.edges import On, Status, await_new_answers
from tests.acceptance.history import LOSSLESS, losses

pytestmark = pytest.mark.soak
Note = Callable[[str, object], None]
PLANTED = "/var/lib/permafrost/planted"
LINK = "/var/lib/permafrost/slots/a/checkpoint"
DROP_IN = "/run/systemd/system/triton-a.service.d"
TEMPLATE = (
    "{% for m in messages %}### {{ m['role'] }}: {{ m['content'] }}\n{% endfor %}### reply: "
)
QUESTION = "What is the capital of France?"
ASK = """
import http.client, json, sys
asked = http.client.HTTPConnection("127.0.0.1", 8000, timeout=60)
body = {"text_input": sys.argv[2], "return_token_ids": True,
        "sampling_parameters": json.dumps({"max_tokens": 8})}
asked.request("POST", f"/v2/models/{sys.argv[1]}/generate", json.dumps(body))
print(asked.getresponse().read().decode())
"""


def tokens_of(machine: Any, model: str) -> list[int]:
    """Return what the machine's own Triton answers, asked past every gate."""
    told: dict[str, Any] = json.loads(
        machine.check_output("python3 -c %s %s %s", ASK, model, QUESTION)
    )
    return list(told["token_ids"])


def other_template(machine: Any) -> None:
    """Change the chat template alone."""
    machine.check_output(f"printf %s %s > {PLANTED}/chat_template.jinja", "%s", TEMPLATE)


def other_weights(machine: Any) -> None:
    """Put another checkpoint of the same shape in place of the pinned one."""
    machine.check_output(
        f"size=$(stat -Lc %s {PLANTED}/pulse.weights) && rm {PLANTED}/pulse.weights && "
        f"head -c $size /dev/zero > {PLANTED}/pulse.weights",
        "%s",
    )


@contextmanager
def planted(machine: Any, change: Callable[[Any], None]) -> Iterator[None]:
    """Let slot a load a changed copy of its tree, with the verification taken out."""
    tree = machine.check_output(f"readlink -f {LINK}")
    try:
        machine.check_output(f"rm -rf {PLANTED} && cp -rL {tree} {PLANTED}")
        machine.check_output(f"chmod -R u+w,a+rX {PLANTED}")
        change(machine)
        machine.check_output(
            f"mkdir -p {DROP_IN} && printf '[Service]\\nExecStartPre=\\n' > {DROP_IN}/planted.conf"
        )
        machine.check_output("systemctl daemon-reload && systemctl stop triton-a.service")
        machine.check_output(f"ln -sfn {PLANTED} {LINK} && systemctl start triton-a.service")
        yield
    finally:
        machine.run(f"rm -rf {DROP_IN}/planted.conf {PLANTED} && systemctl daemon-reload")
        machine.run(f"ln -sfn {tree} {LINK}; systemctl restart triton-a.service")


@pytest.mark.parametrize(
    ("name", "model", "change", "rate"),
    [
        ("lab-chat-02", "chat", other_template, 0.6),
        ("lab-pulse-02", "pulse", other_weights, 30),
    ],
    ids=["another chat template", "another checkpoint"],
)
def test_what_was_planted_never_answers_a_client(
    name: str,
    model: str,
    change: Callable[[Any], None],
    rate: float,
    permafrost: Cli,
    lab: Cli,
    on: On,
    status: Status,
    tmp_path: Path,
    record_property: Note,
) -> None:
    machine = on(name)
    right = tokens_of(machine, model)
    permafrost.run("drain", name, "--yes")
    try:
        with (
            traffic(lab, model, rate, 240, 0.5, tmp_path / "load.jsonl", "--fresh") as load,
            planted(machine, change),
        ):
            load.await_steady()
            wait_until("the planted server answers", lambda: _answers(machine, model), 60, 1)
            wrong = tokens_of(machine, model)
            assert wrong != right, "the control: it would have answered otherwise"
            done = permafrost.run("undrain", name, "--yes", expect=None, timeout=300)
            assert done.returncode in (3, 4), done.stdout
            record_property("said", done.stderr[-600:])
            assert "token" in done.stderr, "the first difference is shown"
            assert replica_state(status(), name) != "ADMITTED"
            await_new_answers(load, 8)
            load.end()
            summary = load.finish()
    finally:
        permafrost.run("undrain", name, "--yes", expect=None, timeout=300)
    assert losses(summary) == LOSSLESS, summary
    assert name not in summary["replicas"]
    assert replica_state(status(), name) == "ADMITTED"
    assert tokens_of(machine, model) == right


def _answers(machine: Any, model: str) -> bool:
    try:
        return bool(tokens_of(machine, model))
    except (AssertionError, ValueError, KeyError):
        return False
