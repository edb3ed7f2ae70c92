"""Each thing that can come over the wire, and what it is called."""

import pytest

from lab.traffic.outcome import Answer, judge
from lab.traffic.record import Outcome

PINNED = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
EXPECTED = (11, 22, 33)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(200, EXPECTED, PINNED), Outcome.OK),
        (Answer(0, error="ClientConnectorError"), Outcome.FAILED),
        (Answer(500, checkpoint=PINNED, error="boom"), Outcome.FAILED),
        (Answer(503), Outcome.FAILED),
        (Answer(429), Outcome.REFUSED),
        (Answer(200, EXPECTED[:2], PINNED, error="ClientPayloadError"), Outcome.CUT),
        (Answer(200, EXPECTED[:2], PINNED), Outcome.CUT),
        (Answer(200, (), PINNED), Outcome.CUT),
        (Answer(200, (11, 99, 33), PINNED), Outcome.WRONG),
        (Answer(200, (*EXPECTED, 44), PINNED), Outcome.WRONG),
        (Answer(200, (99,), PINNED, error="cut"), Outcome.WRONG),
        (Answer(200, EXPECTED, OTHER), Outcome.WRONG),
        (Answer(200, EXPECTED, ""), Outcome.WRONG),
    ],
)
def test_each_answer_has_one_outcome(answer: Answer, outcome: Outcome) -> None:
    assert judge(answer, EXPECTED, PINNED) is outcome
