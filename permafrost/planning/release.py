"""What an endpoint's slots hold, which of them answers, and what the site asked for then.

An upgrade changes what is live without a change of the site file. The record says from which pin
it was made: while the site still pins that, or pins what became live, the record holds. A pin that
is moved to anything else has the last word: it is deployed into the slot that answers, and the
other slot is emptied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

SLOTS = ("a", "b")
ALL = 1000
"""The share of an endpoint's requests that is all of them, in thousandths."""


def other_slot(slot: str) -> str:
    """Return the slot beside one."""
    return SLOTS[1 - SLOTS.index(slot)]


@dataclass(frozen=True, slots=True)
class Release:
    """One endpoint. ``slots``: slot to checkpoint, of those that are to load something.

    ``open``: slots that have proven themselves, to which pins may go. ``asked``: what the site
    pinned when this was written. ``operation`` and ``at``: which one wrote it, and when.
    ``share``: thousandths of the requests without a pin that go to the slot beside the live one.
    ``previous``: the checkpoint that answered before this one.
    """

    endpoint: str
    asked: str
    live: str
    slots: Mapping[str, str]
    open: tuple[str, ...] = ()
    operation: str = ""
    at: str = ""
    share: int = 0
    previous: str = ""

    @property
    def checkpoint(self) -> str:
        """The checkpoint that answers."""
        return self.slots[self.live]

    @property
    def spare(self) -> str:
        """The slot that does not answer."""
        return other_slot(self.live)

    @property
    def kept(self) -> str:
        """The checkpoint in the slot that does not answer; empty where there is none."""
        return self.slots.get(self.spare, "")

    @property
    def is_bringing_in(self) -> bool:
        """Whether what the other slot is to load has not proven itself on every replica yet.

        Some replicas may have it and some not, or it answers a share alone.
        """
        return bool(self.kept) and (self.spare not in self.open or self.share > 0)

    def without_unproven(self) -> Release:
        """Return what holds without that: the live slot alone; itself where there is no such."""
        if not self.is_bringing_in:
            return self
        alone = {self.live: self.checkpoint}
        return replace(self, slots=alone, open=(self.live,), share=0)

    def routes(self) -> dict[str, str]:
        """Return what the edges must know: endpoint, and endpoint@checkpoint, to the slot."""
        pins = {f"{self.endpoint}@{self.slots[s]}": s for s in self.open if s in self.slots}
        share = {f"{self.endpoint}/share": str(self.share)} if self.share else {}
        return {**pins, **share, self.endpoint: self.live}

    def as_dict(self) -> dict[str, Any]:
        """Return the record."""
        return {
            "schema": 1,
            "asked": self.asked,
            "live": self.live,
            "slots": dict(self.slots),
            "open": list(self.open),
            "operation": self.operation,
            "at": self.at,
            "share": self.share,
            "previous": self.previous,
        }


def release_of(endpoint: str, pinned: str, record: Mapping[str, Any] | None) -> Release:
    """Return what holds for an endpoint whose site pins ``pinned``, given what was recorded."""
    if record is None:
        return Release(endpoint, pinned, SLOTS[0], {SLOTS[0]: pinned}, (SLOTS[0],))
    live, slots = str(record["live"]), {str(k): str(v) for k, v in record["slots"].items()}
    if pinned not in (record["asked"], slots.get(live)):
        return Release(endpoint, pinned, live, {live: pinned}, (live,))
    return Release(
        endpoint,
        str(record["asked"]),
        live,
        slots,
        tuple(str(s) for s in record["open"]),
        str(record["operation"]),
        str(record["at"]),
        int(record.get("share", 0)),
        str(record.get("previous", "")),
    )


def routes_of(releases: Iterable[Release]) -> dict[str, str]:
    """Return everything that an edge must know about slots."""
    return {key: slot for release in releases for key, slot in release.routes().items()}


def slots_of(routes: Mapping[str, str], endpoint: str) -> frozenset[str]:
    """Return the slots to which an edge's map sends requests without a pin; none: it says none."""
    live = routes.get(endpoint)
    if live not in SLOTS:
        return frozenset()
    share = int(routes.get(f"{endpoint}/share", "0"))
    if share >= ALL:
        return frozenset({other_slot(live)})
    return frozenset({live, other_slot(live)}) if share else frozenset({live})
