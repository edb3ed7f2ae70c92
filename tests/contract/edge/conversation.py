"""A conversation whose replica is lost between two turns: two real Tritons behind the edge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.contract.edge.front import NODES, Asked, Front
from tests.contract.edge.planted import prepared
from tests.contract.fingerprint.server import Served, served

SECOND = "oslo-chat-02"
FIRST_HTTP, SECOND_HTTP = 8000, 8020
TURNS = ("Name a river.", "Where is it?", "What else is there?")
SAMPLING = {"max_tokens": 12, "temperature": 0}


def conversation(folder: Path) -> dict[str, Any]:
    """Take the first turn where it comes, lose that replica, go on; say who gave which tokens."""
    tree, pinned, _ = prepared(folder)
    with (
        served(tree, folder / "one", pinned, http=FIRST_HTTP) as one,
        served(tree, folder / "two", pinned, http=SECOND_HTTP) as two,
        Front(
            folder / "front", behind=(8010, 9100), instead={SECOND: {8000: SECOND_HTTP}}
        ) as front,
    ):
        said, texts = "", []
        replicas: list[str] = []
        tokens: list[list[int]] = []
        for turn in TURNS:
            said += f"user: {turn}\n"
            texts.append(said)
            answer = _until_not(front, said, replicas)
            told = json.loads(answer.body)
            replicas.append(answer.headers["permafrost-replica"])
            tokens.append(told["token_ids"])
            said += f"assistant: {told['text_output']}\n"
            if len(replicas) == 1:
                front.lose(replicas[0])
        return {
            "replicas": replicas,
            "nodes": sorted(NODES),
            "tokens": tokens,
            "of_one": _of(one, texts),
            "of_two": _of(two, texts),
            "otherwise": _of(one, [text.replace("river", "metal") for text in texts]),
        }


def _until_not(front: Front, text: str, lost: list[str]) -> Asked:
    """Ask; the second turn is to come from the other server, whichever it is."""
    while True:
        body = {
            "text_input": text,
            "return_token_ids": True,
            "sampling_parameters": json.dumps(SAMPLING),
        }
        answer = front.ask(data=json.dumps(body).encode(), timeout_s=120)
        assert answer.status == 200, answer
        by_second = answer.headers["permafrost-replica"] == SECOND
        if not lost or by_second != (lost[0] == SECOND):
            return answer


def _of(server: Served, texts: list[str]) -> list[list[int]]:
    return [list(server.triton.generate(text, SAMPLING, 120)) for text in texts]
