"""Another version of the language model under load, killed twice on the way, and back.

The other version is the same model quantised anew: it answers nine of the ten questions otherwise,
so an answer that names one checkpoint and is the other's is seen. Beside the load, conversations
that are pinned to a version are held: each stays with it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.checkpoints import FINGERPRINT, Layout
from tests.acceptance.driver import Cli, Traffic, losses, traffic, wait_until
from tests.acceptance.history import began
from tests.acceptance.killing import killed_in_turn
from tests.acceptance.models import built
from tests.acceptance.versions import Versions, old_alone, served, two_of_chat

pytestmark = pytest.mark.soak

Answer = tuple[int, str, str, tuple[int, ...]]
Probes = Mapping[str, Mapping[str, Any]]
PULSE_RATE, CHAT_RATE, AT_MOST_S, COMMAND_S = 40, 0.5, 1800, 900
KILLED = ("load-slot", "cut-over")
"""While the first replica loads its new slot, and when every edge was told but nobody wrote it."""
ASK_EVERY_S, ENOUGH = 3.0, 10


@pytest.fixture(scope="module")
def child(
    site_file: Path, permafrost: Cli, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Versions]:
    """The model that the lab deploys and its child; at the end the first serves alone again."""
    versions = two_of_chat(site_file, permafrost, tmp_path_factory.mktemp("child"))
    try:
        yield versions
    finally:
        old_alone(permafrost, versions, "chat")


@pytest.fixture(scope="module")
def known(child: Versions) -> dict[str, Probes]:
    """What each version answers to each question, as the engine alone did when it was built."""
    parts = {child.old: "checkpoint-chat", child.new: "checkpoint-child"}
    found = {digest: answers_of(built(part), digest) for digest, part in parts.items()}
    old, new = found[child.old], found[child.new]
    assert set(old) == set(new)
    differ = [q for q in old if old[q]["token_ids"] != new[q]["token_ids"]]
    assert len(differ) >= len(old) - 1, "two versions that answer alike show nothing"
    return found


def answers_of(part: Path, digest: str) -> Probes:
    """Return the recorded answers of a built checkpoint, by question."""
    layout = Layout(part / "oci")
    (recorded,) = layout.referrers(digest, FINGERPRINT)
    probes = layout.json(recorded["layers"][0]["digest"])["probes"]
    return {p["text_input"]: p for p in probes}


@dataclass
class Conversation:
    """Somebody who asks on and on with a pin: of each answer the status, who, question, tokens."""

    client: httpx.Client
    url: str
    pin: str
    probes: Probes
    answers: list[Answer] = field(default_factory=list)

    def hold(self, enough: threading.Event) -> None:
        """Ask one question after the other until it is enough."""
        questions = list(self.probes)
        while not enough.is_set():
            self.ask(questions[len(self.answers) % len(questions)])
            enough.wait(ASK_EVERY_S)

    def ask(self, question: str) -> Answer:
        """Ask one question; return what is kept of the answer."""
        sampling = json.dumps(self.probes[question]["sampling_parameters"])
        said = self.client.post(
            self.url,
            json={
                "text_input": question,
                "sampling_parameters": sampling,
                "return_token_ids": True,
            },
            headers={"permafrost-checkpoint": self.pin} if self.pin else {},
        )
        tokens = tuple(said.json()["token_ids"]) if said.is_success else ()
        by = said.headers.get("permafrost-checkpoint", "")
        self.answers.append((said.status_code, by, question, tokens))
        return self.answers[-1]

    def strays(self) -> list[Answer]:
        """Return the answers that are not those of the version that is pinned."""
        right = {q: tuple(probe["token_ids"]) for q, probe in self.probes.items()}
        return [a for a in self.answers if a != (200, self.pin, a[2], right[a[2]])]


@contextmanager
def going_on(conversation: Conversation) -> Iterator[Conversation]:
    """Hold a conversation beside the block; what went wrong in it is raised at its end."""
    enough = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        held: Future[None] = pool.submit(conversation.hold, enough)
        try:
            yield conversation
        finally:
            enough.set()
        held.result()


def answered(load: Traffic, checkpoint: str, since: float) -> int:
    """Return how many whole answers a load got from a checkpoint since a moment."""
    new = (r for r in load.records() if began(r) >= since and r["outcome"] == "ok")
    return sum(r["checkpoint"] == checkpoint for r in new)


def test_the_language_model_changes_under_load_and_back_and_nobody_notices(
    permafrost: Cli,
    lab: Cli,
    client: httpx.Client,
    child: Versions,
    known: dict[str, Probes],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    asked = ("upgrade", "chat", "--to", child.new)
    planned = permafrost.json(*asked, "--plan-only")
    record_property("why", planned["notes"])
    assert planned["facts"]["strategy"] == "side by side", planned["notes"]
    assert "they fit" in planned["facts"]["why"][0]
    url = f"https://{served(permafrost, 'chat')['address']}/v2/models/chat/generate"
    by_old, by_new, by_any = (
        Conversation(client, url, pin, known[pin or child.old])
        for pin in (child.old, child.new, "")
    )

    with ExitStack() as stack:
        files = {of: tmp_path / f"{of}.jsonl" for of in ("chat", "pulse")}
        pulse = stack.enter_context(
            traffic(lab, "pulse", PULSE_RATE, AT_MOST_S, 0.5, files["pulse"])
        )
        chat = stack.enter_context(
            traffic(lab, "chat", CHAT_RATE, AT_MOST_S, 0.5, files["chat"], *child.also)
        )
        pulse.await_steady()
        chat.await_steady()
        assert by_new.ask("Say only the word yes.")[0] == 409, "what is to come serves already"
        by_new.answers.clear()
        stack.enter_context(going_on(by_old))
        operation = killed_in_turn(permafrost, "upgrade", KILLED, "after", *asked, "--yes")
        done = permafrost.json("resume", operation, "--yes", timeout=COMMAND_S)
        assert done["state"] == "done"
        found = served(permafrost, "chat")
        assert (found["live_checkpoint"], found["slot"]) == (child.new, "b")
        assert found["kept"] == {"slot": "a", "checkpoint": child.old}
        assert {r["state"] for r in found["replicas"]} == {"ADMITTED"}
        assert permafrost.json("plan")["steps"] == []

        with going_on(by_new):
            since = time.time()
            wait_until(
                "the new one answers",
                lambda: answered(chat, child.new, since) >= ENOUGH and len(by_new.answers) >= 5,
                300,
            )
            assert by_any.ask("Say only the word yes.")[:2] == (200, child.new)
            back = permafrost.json("rollback", "chat", "--yes", timeout=COMMAND_S)
            assert [s["kind"] for s in back["steps"]] == ["cut-over"]
            since, pinned = time.time(), len(by_new.answers)
            wait_until(
                "the old one answers again, and pins to the new one go on",
                lambda: (
                    answered(chat, child.old, since) >= ENOUGH
                    and len(by_new.answers) >= pinned + 3
                ),
                300,
            )
        gone = permafrost.json("retire", "chat", "--yes", timeout=COMMAND_S)
        assert by_any.ask("Say only the word yes.")[:2] == (200, child.old)
        assert by_new.ask("Say only the word yes.")[0] == 409
        by_new.answers.pop()
        chat.end()
        pulse.end()
        summaries = {"chat": chat.finish(), "pulse": pulse.finish()}

    assert {of: losses(s) for of, s in summaries.items()} == dict.fromkeys(files, (0, 0, 0))
    assert [s["duplicated"] for s in summaries.values()] == [0, 0]
    assert set(summaries["chat"]["checkpoints"]) == {child.old, child.new}
    assert min(summaries["chat"]["checkpoints"].values()) >= ENOUGH
    texts = {of: {tuple(p["token_ids"]) for p in probes.values()} for of, probes in known.items()}
    whole = [r for r in chat.records() if r["outcome"] == "ok"]
    assert [r for r in whole if tuple(r["tokens"]) not in texts[r["checkpoint"]]] == []
    assert (by_old.strays(), by_new.strays()) == ([], [])
    assert min(len(by_old.answers), len(by_new.answers)) >= ENOUGH
    for ended in (done, back, gone):
        receipt = json.loads(Path(ended["receipt"]).read_text(encoding="utf-8"))
        assert (receipt["state"], receipt["requests"]["cut"]) == ("done", 0)
    assert permafrost.json("receipt", "verify")["problems"] == []
    found = served(permafrost, "chat")
    assert (found["live_checkpoint"], found["slot"], found["kept"]) == (child.old, "a", None)
