"""A thousand wrong keys are refused while those who have one are served."""

from __future__ import annotations

import base64
import random
import string
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

import httpx
import pytest

from tests.acceptance.conftest import endpoint
from tests.acceptance.driver import Cli, traffic
from tests.acceptance.edges import Status, await_new_answers
from tests.acceptance.history import LOSSLESS, losses
from tests.acceptance.test_clients import AT_MOST_S, BODY, SHORT, with_key

pytestmark = pytest.mark.soak
Note = Callable[[str, object], None]
WRONG, RIGHT, AT_ONCE = 1000, 20, 8
LETTERS = string.ascii_letters + string.digits


@pytest.fixture
def shop(permafrost: Cli) -> Iterator[str]:
    """A client's key; afterwards nobody has it."""
    yield str(permafrost.json("client", "add", "shop", "--yes")["key"])
    permafrost.run("client", "revoke", "shop", "--yes", expect=None)


def wrong(right: str) -> Iterator[str]:
    """Yield what is no valid ``authorization``, none twice: what comes near, and guesses."""
    dice = random.Random(1)
    secret = right.removeprefix("pf-")
    yield f"Basic {base64.b64encode(right.encode()).decode()}"
    yield f"Token {right}"
    yield "Bearer"
    yield f"Bearer {right.swapcase()}"
    for length in range(1, len(secret)):
        yield f"Bearer {right[:-length]}"
    for more in LETTERS:
        yield f"Bearer {right}{more}"
    changed = [
        f"Bearer pf-{secret[:at]}{other}{secret[at + 1 :]}"
        for at in range(len(secret))
        for other in LETTERS
        if other != secret[at]
    ]
    dice.shuffle(changed)
    for near in changed:
        yield near
        yield f"Bearer pf-{dice.randbytes(32).hex()}"
        yield f"Bearer {dice.randbytes(1500).hex()}"


def test_a_thousand_wrong_keys_are_refused_while_valid_ones_go_on(
    shop: str,
    permafrost: Cli,
    lab: Cli,
    client: httpx.Client,
    status: Status,
    tmp_path: Path,
    record_property: Note,
) -> None:
    """The control is among them: each 50th has the right key, and is answered."""
    seen = status()
    address = endpoint(seen, "pulse")["address"]
    port = address.rpartition(":")[2]
    doors = cycle([address, *(f"{edge['address']}:{port}" for edge in seen["edges"])])
    every = WRONG // RIGHT
    asked = []
    for n, header in zip(range(WRONG), wrong(shop), strict=False):
        asked.append((next(doors), header, 401))
        if n % every == every - 1:
            asked.append((next(doors), f"Bearer {shop}", 200))

    def ask(one: tuple[str, str, int]) -> tuple[int, int, str, str]:
        door, header, expected = one
        url = f"https://{door}/v2/models/pulse/generate"
        answer = client.post(url, json=BODY, headers={"authorization": header})
        told = answer.headers
        return (
            expected,
            answer.status_code,
            told.get("www-authenticate", ""),
            "replica" if "permafrost-replica" in told else "edge",
        )

    with (
        traffic(with_key(lab, shop), "pulse", 20, AT_MOST_S, 0.5, tmp_path / "kept") as kept,
        traffic(with_key(lab, shop), "pulse", 20, AT_MOST_S, 0.5, tmp_path / "new", *SHORT) as new,
    ):
        kept.await_steady()
        new.await_steady()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            told = Counter(pool.map(ask, asked))
        await_new_answers(new)
        summaries = []
        for load in (kept, new):
            load.end()
            summaries.append(load.finish())
    record_property("told", {str(key): count for key, count in told.items()})
    record_property("served_meanwhile", [s["outcomes"] for s in summaries])
    assert told == {(401, 401, "Bearer", "edge"): WRONG, (200, 200, "", "replica"): RIGHT}
    assert [losses(s) for s in summaries] == [LOSSLESS] * 2, summaries
    assert min(s["outcomes"]["ok"] for s in summaries) >= 20, "they were served meanwhile"


def test_control_a_load_whose_key_is_wrong_is_seen_to_fail(
    shop: str, lab: Cli, tmp_path: Path
) -> None:
    """Otherwise a load of which nothing is lost would say nothing of keys."""
    guess = with_key(lab, f"{shop}x")
    with traffic(guess, "pulse", 10, 3, 0.5, tmp_path / "load", *SHORT) as load:
        summary = load.finish()
        records = load.records()
    assert summary["outcomes"]["failed"] == summary["requests"] > 0
    assert {r["status"] for r in records if r["kind"] != "channel"} == {401}
