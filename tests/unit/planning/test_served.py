"""Which bytes served at a moment, out of receipts."""

from __future__ import annotations

from typing import Any

from permafrost.planning.served import served_at

OLD, NEW = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def receipt(number: int, at: str, command: str = "deploy", **endpoints: list[str]) -> Any:
    told = [
        {
            "name": name,
            "replicas": [
                {"name": f"{name}-{i}", "state": "ADMITTED" if d else "OUT", "checkpoint": d}
                for i, d in enumerate(digests, start=1)
            ],
        }
        for name, digests in endpoints.items()
    ]
    return {
        "number": number,
        "command": command,
        "finished_at": f"2026-05-05T{at}:00.000Z",
        "status": {"endpoints": told},
    }


RECEIPTS = [
    receipt(1, "10:00", chat=[OLD, OLD], pulse=[OLD]),
    {"number": 2, "command": "drain lab-chat-01", "finished_at": "2026-05-05T10:30:00.000Z"},
    receipt(3, "11:00", chat=[OLD, OLD], pulse=[OLD]),
    receipt(4, "12:00", chat=[NEW, NEW], pulse=[OLD]),
    receipt(5, "13:00", chat=[NEW, OLD]),
    receipt(6, "14:00", chat=[NEW, ""]),
]


def at(time: str) -> dict[str, tuple[str, int]]:
    found = served_at(RECEIPTS, f"2026-05-05T{time}:00.000Z")
    return {s.endpoint: (s.checkpoint, s.receipt) for s in found}


def test_nothing_served_before_the_first_deployment() -> None:
    assert at("09:59") == {}


def test_what_an_operation_left_serves_until_the_next_that_changes_it() -> None:
    assert at("10:00") == {"chat": (OLD, 1), "pulse": (OLD, 1)}
    assert at("11:59") == {"chat": (OLD, 1), "pulse": (OLD, 1)}, "the third changed nothing"
    assert at("12:30") == {"chat": (NEW, 4), "pulse": (OLD, 1)}


def test_replicas_that_do_not_agree_and_endpoints_that_are_gone() -> None:
    assert at("13:30") == {"chat": ("", 5)}
    (chat,) = served_at(RECEIPTS, "2026-05-05T13:30:00.000Z")
    assert dict(chat.replicas) == {"chat-1": NEW, "chat-2": OLD}


def test_a_replica_that_is_out_serves_nothing() -> None:
    (chat,) = served_at(RECEIPTS, "2026-05-05T14:30:00Z")
    assert (chat.checkpoint, dict(chat.replicas)) == (NEW, {"chat-1": NEW})
