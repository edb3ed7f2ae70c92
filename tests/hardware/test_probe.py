"""A frozen checkpoint's quiet probe: the same tokens each time, and after each start."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import torch

from permafrost.node.fingerprint import Probe, first_difference
from tests.hardware.card import TOLD, model_of

SMALL = {
    "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
    "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152,
}  # fmt: skip
STARTS, ASKED, PROMPT, TOKENS = 3, 100, 48, 32


def _prompt(number: int) -> list[int]:
    return [(7919 * number + 104729 * i) % SMALL["vocab_size"] for i in range(PROMPT)]


def _greedy(model: Any, prompts: list[list[int]]) -> list[tuple[int, ...]]:
    given = torch.tensor(prompts, device="cuda")
    with torch.inference_mode():
        out = model.generate(
            given, attention_mask=torch.ones_like(given), do_sample=False,
            max_new_tokens=TOKENS, min_new_tokens=TOKENS, pad_token_id=0,
        )  # fmt: skip
    return [tuple(row[PROMPT:].tolist()) for row in out]


def _started_anew() -> tuple[int, ...]:
    """Return the tokens that a process of its own gives, from weights that it made itself."""
    code = (
        "import sys, json; sys.path.insert(0, '.');"
        "from tests.hardware import test_probe as t;"
        "print('TOKENS', json.dumps(t._greedy(t.model_of(t.SMALL), [t._prompt(0)])[0]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("TOKENS"))
    return tuple(json.loads(line.removeprefix("TOKENS")))


def test_a_quiet_probe_is_the_same_each_time_and_after_each_start() -> None:
    model = model_of(SMALL)
    recorded = _greedy(model, [_prompt(0)])[0]
    probe = Probe("quiet", "0", {}, recorded)

    def again(text: str, _: dict[str, Any]) -> tuple[int, ...]:
        return _greedy(model, [_prompt(int(text))])[0]

    differences = [d for _ in range(ASKED) if (d := first_difference([probe], again))]
    starts = [_started_anew() for _ in range(STARTS)]
    busy = 0
    for other in range(1, 33):
        crowd = [_prompt(0), *(_prompt(n) for n in range(1, other + 1))]
        busy += _greedy(model, crowd)[0] != recorded
    TOLD["probe"] = {
        "asked": ASKED, "different": len(differences), "starts": STARTS,
        "starts_different": sum(s != recorded for s in starts),
        "in_batches_of_2_to_33": 32, "different_in_batches": busy,
    }  # fmt: skip
    assert differences == []
    assert all(s == recorded for s in starts)


def test_control_other_weights_are_told_apart() -> None:
    recorded = _greedy(model_of(SMALL), [_prompt(0)])[0]
    other = model_of(SMALL, seed=1)
    found = first_difference(
        [Probe("quiet", "0", {}, recorded)],
        lambda text, _: _greedy(other, [_prompt(int(text))])[0],
    )
    TOLD["control_weights"] = found
    assert found
