"""Is the catalogue what its events made it, and are the events those that were?"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from model_registry.catalogue.chain import Event, Head, first_break
from model_registry.catalogue.clock import is_far_ahead, utc_now
from model_registry.catalogue.projection import Tables, changes, replay
from model_registry.catalogue.store import Catalogue
from model_registry.digests import canonical_json
from model_registry.errors import RegistryError, RegistryRefused
from model_registry.signing import SigningKey, Trusted, check_file, sign_file
from model_registry.writing import write_whole


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it must be."""

    code: str
    what: str

    def as_dict(self) -> dict[str, str]:
        """Return plain values for JSON."""
        return asdict(self)


def audit(catalogue: Catalogue, against: Head | None = None) -> tuple[Finding, ...]:
    """Return what is wrong with a catalogue; a head that was exported earlier finds more."""
    events, tables = catalogue.tables()
    broken = first_break(events)
    if broken is not None:
        found = [Finding("CHAIN_BROKEN", f"event {broken} does not follow from those before it")]
    else:
        found = _unfit(events) or _rows(replay(events), tables)
    found += _ahead(events, utc_now())
    if against is not None:
        found += _head(events, against)
    return tuple(found)


def _unfit(events: Sequence[Event]) -> list[Finding]:
    """Return the events that mean nothing to this release: nobody knows what they add up to."""
    found = []
    for event in events:
        try:
            tuple(changes(event))
        except RegistryError as error:
            found.append(Finding(error.code, error.message))
    return found


def _ahead(events: Sequence[Event], now: datetime) -> list[Finding]:
    """Return that the last event is of a time to come: who wrote it had a clock that was ahead.

    The next one that is written with a right clock puts it right (`history` says how).
    """
    if not events or not is_far_ahead(events[-1].at, now):
        return []
    return [
        Finding("CLOCK_AHEAD", f"event {events[-1].seq} says {events[-1].at}, which is to come")
    ]


def _rows(expected: Tables, actual: Tables) -> list[Finding]:
    found = []
    for table, rows in expected.items():
        for key in sorted(rows.keys() | actual[table].keys()):
            if rows.get(key) != actual[table].get(key):
                found.append(Finding("CATALOGUE_ROW_EDITED", f"{table} {':'.join(key)}"))
    return found


def _head(events: Sequence[Event], head: Head) -> list[Finding]:
    if len(events) < head.seq:
        return [Finding("CHAIN_CUT", f"{len(events)} events are left of at least {head.seq}")]
    if events[head.seq - 1].hash != head.hash:
        return [
            Finding("CHAIN_REWRITTEN", f"event {head.seq} is another than when it was exported")
        ]
    return []


def write_head(head: Head, path: Path, key: SigningKey | None = None) -> None:
    """Write a head to a file, to be kept where the catalogue's writers cannot reach it.

    With a key its signature is written beside it, as ``PATH.sig``: made and on disk before either
    is replaced. A cut between the two leaves a pair that does not fit, which is refused, never
    believed.
    """
    content = canonical_json({"schema": 1, **asdict(head)}) + b"\n"
    if key is not None:
        with tempfile.TemporaryDirectory() as scratch:
            draft = Path(scratch) / path.name
            draft.write_bytes(content)
            signature = sign_file(draft, key)
        write_whole(signature_path(path), signature)
    write_whole(path, content)


def signature_path(head: Path) -> Path:
    """Return where the signature of an exported head lies."""
    return head.with_name(f"{head.name}.sig")


def require_signed_head(path: Path, trusted: Trusted) -> None:
    """Refuse a head that somebody trusted has not signed: whoever forges one may forge all."""
    try:
        signature = signature_path(path).read_bytes()
    except OSError as error:
        raise RegistryRefused(
            "HEAD_UNSIGNED",
            f"{path} has no signature beside it: {error.strerror}",
            "fetch PATH.sig too, or export the head again with --key",
        ) from error
    try:
        check_file(signature, path, trusted)
    except RegistryError as error:
        raise RegistryRefused(
            "HEAD_SIGNATURE_INVALID",
            f"the signature of {path} does not hold: {error.message}",
            "use the head as it was exported; if it was, somebody signed another",
        ) from error


def read_head(path: Path) -> Head:
    """Return the head that a file holds. Refused where it holds none."""
    try:
        document = json.loads(path.read_bytes())
        return Head(int(document["seq"]), str(document["hash"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RegistryRefused(
            "HEAD_INVALID",
            f"{path} is no exported head: {error}",
            "name the file that `permafrost model audit --export-head` wrote",
        ) from error
