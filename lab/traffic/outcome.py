"""From what came over the wire to an outcome: one pure rule for every request."""

from __future__ import annotations

from dataclasses import dataclass

from lab.traffic.record import Outcome

TOO_MANY_REQUESTS = 429
OK_STATUS = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What was received. ``status`` is 0 where no response began; ``error`` is why it ended."""

    status: int
    tokens: tuple[int, ...] = ()
    checkpoint: str = ""
    replica: str = ""
    error: str = ""


def judge(answer: Answer, expected: tuple[int, ...], checkpoint: str) -> Outcome:
    """Return the outcome of an answer against the expected tokens and the pinned checkpoint.

    A stream that ended short, even politely, counts as cut: the client has no whole answer.
    Tokens that differ from the expected ones are wrong whether or not the answer is whole,
    because no later part could mend them.
    """
    if answer.status == TOO_MANY_REQUESTS:
        return Outcome.REFUSED
    if answer.status != OK_STATUS:
        return Outcome.FAILED
    if answer.checkpoint != checkpoint:
        return Outcome.WRONG
    if answer.tokens != expected[: len(answer.tokens)]:
        return Outcome.WRONG
    if answer.error or len(answer.tokens) < len(expected):
        return Outcome.CUT
    return Outcome.OK
