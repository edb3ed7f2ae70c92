from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from model_registry.checkpoint import identify
from model_registry.fingerprint import probes
from model_registry.fingerprint.document import Asked, Fingerprint, ServingClass, read
from permafrost.node.recording import answer_all
from tests.contract.fingerprint.server import Served, files_of_part, served

CLASS = ServingClass("sha256:" + "e" * 64, "Q4_1", "none", "none", "1", (("backend", "llamacpp"),))


@dataclass
class Bench:
    """Serves checkpoints and takes their fingerprints, with the node's own code."""

    folder: Path
    numbers: Iterator[int]

    @contextmanager
    def serving(self, checkpoint: Path) -> Iterator[Served]:
        digest = identify(checkpoint, "chat")
        place = self.folder / f"server-{next(self.numbers)}"
        with served(checkpoint, place, digest) as running:
            yield running

    def fingerprint(
        self, running: Served, asked: tuple[Asked, ...], precision: str = "Q4_1"
    ) -> Fingerprint:
        """Return the fingerprint of a quiet server, by way of its document."""
        told = [one.as_dict() for one in asked]
        loaded, answers = answer_all(running.triton, told, probes.TOP_K)
        of_class = {**CLASS.as_dict(), "precision": precision}
        found = {"schema": 2, "checkpoint": loaded, "serving_class": of_class, "probes": answers}
        return read(read(found).as_dict())


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("triton"), itertools.count())


@pytest.fixture(scope="session")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lab's chat checkpoint, as its files."""
    return files_of_part("checkpoint-chat", tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="session")
def asked() -> tuple[Asked, ...]:
    """A few prompts of the default set: `make soak` asks all of them."""
    return probes.default()[:5]


@pytest.fixture(scope="session")
def recorded(bench: Bench, chat: Path) -> Callable[[tuple[Asked, ...]], Fingerprint]:
    """Return what records the unchanged checkpoint, once for each probe set."""
    known: dict[tuple[str, ...], Fingerprint] = {}

    def record(asked: tuple[Asked, ...]) -> Fingerprint:
        key = tuple(one.id for one in asked)
        if key not in known:
            with bench.serving(chat) as running:
                known[key] = bench.fingerprint(running, asked)
        return known[key]

    return record
