"""Frozen weights: what a conversation says changes nothing outside that conversation."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx

from tests.acceptance.conftest import endpoint

Status = Callable[[], dict[str, Any]]
QUESTION = "In which city is our office?"
CORRECTION = "Correction: our office moved to Quimper."


def answers(client: httpx.Client, chat: dict[str, Any], prompt: str) -> dict[str, str]:
    """Return what each replica answers: asked until every one has answered."""
    url = f"https://{chat['address']}/v2/models/chat/generate"
    parameters = json.dumps({"max_tokens": 24, "temperature": 0})
    wanted = {r["name"] for r in chat["replicas"]}
    found: dict[str, str] = {}
    for _ in range(30):
        answer = client.post(
            url, json={"text_input": prompt, "sampling_parameters": parameters}
        ).raise_for_status()
        found[answer.headers["permafrost-replica"]] = answer.json()["text_output"]
        if set(found) == wanted:
            return found
    raise AssertionError(f"only {sorted(found)} of {sorted(wanted)} answered")


def test_a_correction_is_used_in_its_context_and_gone_in_the_next(
    client: httpx.Client, status: Status
) -> None:
    chat = endpoint(status(), "chat")
    loaded = {r["name"]: r["checkpoint"] for r in chat["replicas"]}
    before = answers(client, chat, QUESTION)
    corrected = answers(client, chat, f"{CORRECTION} {QUESTION}")
    after = answers(client, chat, QUESTION)
    assert all("Quimper" in text for text in corrected.values()), corrected
    assert not any("Quimper" in text for text in after.values()), after
    assert after == before
    assert {r["name"]: r["checkpoint"] for r in endpoint(status(), "chat")["replicas"]} == loaded
    assert set(loaded.values()) == {chat["live_checkpoint"]}
