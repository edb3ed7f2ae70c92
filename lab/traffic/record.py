"""One request as it was seen from outside: a line of the recorder's file.

The line is ``{"schema","id","kind","start","first_token","end","status","replica","checkpoint",
"tokens","expected","outcome","error","token_ms","late_ms","conversation","turn","channel"}``;
times are UTC, RFC 3339, or null where the moment never came; ``tokens`` and ``expected`` are
lists of token ids; ``token_ms`` says when each message with tokens came, in ms after ``start``;
``late_ms`` how much later than planned the request left; ``conversation`` and ``turn`` (from 1)
where it is in a conversation; ``channel`` the long-open gRPC stream that it went over.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

SCHEMA = 1


class Kind(StrEnum):
    """How the answer was asked for.

    ``grpc``: streamed over a long-open gRPC stream. ``channel``: such a stream itself, from its
    opening to its end, whether or not a request was on it; it is no request.
    """

    WHOLE = "whole"
    STREAM = "stream"
    GRPC = "grpc"
    CHANNEL = "channel"


class Outcome(StrEnum):
    """What became of a request.

    ``failed``: no answer began. ``cut``: an answer began and did not come to its end.
    ``wrong``: an answer other than the frozen model's, or by another checkpoint.
    ``refused``: turned away with 429, to be tried again.
    """

    OK = "ok"
    FAILED = "failed"
    CUT = "cut"
    WRONG = "wrong"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Record:
    """One request. Times are seconds since the epoch."""

    id: str
    kind: Kind
    start: float
    first_token: float | None
    end: float
    status: int
    replica: str
    checkpoint: str
    tokens: tuple[int, ...]
    expected: tuple[int, ...]
    outcome: Outcome
    error: str = ""
    token_ms: tuple[float, ...] = ()
    late_ms: float = 0.0
    conversation: str = ""
    turn: int = 0
    channel: str = ""

    @property
    def is_request(self) -> bool:
        """Whether it was asked for something; a channel was not."""
        return self.kind is not Kind.CHANNEL

    @property
    def is_streamed(self) -> bool:
        """Whether its answer comes in pieces."""
        return self.kind in (Kind.STREAM, Kind.GRPC)


def rfc3339(moment: float | None) -> str | None:
    """Return a moment as RFC 3339 text in UTC with microseconds, None for None."""
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds")


def moment(text: str) -> float:
    """Return the seconds since the epoch of RFC 3339 text. Raises ValueError when malformed."""
    return datetime.fromisoformat(text).timestamp()


def to_line(record: Record) -> str:
    """Return the record as one line of JSON, without the line's end."""
    return json.dumps(
        {
            "schema": SCHEMA,
            "id": record.id,
            "kind": record.kind.value,
            "start": rfc3339(record.start),
            "first_token": rfc3339(record.first_token),
            "end": rfc3339(record.end),
            "status": record.status,
            "replica": record.replica,
            "checkpoint": record.checkpoint,
            "tokens": list(record.tokens),
            "expected": list(record.expected),
            "outcome": record.outcome.value,
            "error": record.error,
            "token_ms": list(record.token_ms),
            "late_ms": round(record.late_ms, 1),
            "conversation": record.conversation,
            "turn": record.turn,
            "channel": record.channel,
        },
        separators=(",", ":"),
    )


def from_line(line: str) -> Record:
    """Return the record of one line. Raises ValueError when the line is not a record's."""
    try:
        data: dict[str, Any] = json.loads(line)
        first = data["first_token"]
        return Record(
            id=data["id"],
            kind=Kind(data["kind"]),
            start=moment(data["start"]),
            first_token=None if first is None else moment(first),
            end=moment(data["end"]),
            status=data["status"],
            replica=data["replica"],
            checkpoint=data["checkpoint"],
            tokens=tuple(data["tokens"]),
            expected=tuple(data["expected"]),
            outcome=Outcome(data["outcome"]),
            error=data.get("error", ""),
            token_ms=tuple(data.get("token_ms", ())),
            late_ms=data.get("late_ms", 0.0),
            conversation=data.get("conversation", ""),
            turn=data.get("turn", 0),
            channel=data.get("channel", ""),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a record: {error!r}") from error


def read(path: Path) -> Iterator[Record]:
    """Yield the records of a file. A last line that was cut off by a kill is left out."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith("\n"):
                return
            try:
                yield from_line(line)
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}") from error


def in_flight_at(records: Iterable[Record], when: float) -> int:
    """Return how many requests had begun and not ended at a moment (seconds since the epoch)."""
    return sum(1 for r in records if r.start <= when < r.end)
