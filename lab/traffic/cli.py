"""``permafrost-lab traffic`` and ``check``: their bodies; the options are declared in lab.cli."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lab.build import parts
from lab.errors import LabError
from lab.instance.model import Instance
from lab.traffic import check, recorder, source
from lab.traffic.marks import Mark, of_faults, of_journal, within
from lab.traffic.record import Record, moment, read
from lab.traffic.workload import PulseWorkload
from permafrost.site.load import load_site


def traffic(
    site: Path,
    endpoint: str,
    *,
    rate_per_s: float,
    duration_s: float,
    stream_share: float,
    out: Path,
    interval_ms: int = 250,
    max_tokens: int = 16,
    timeout_s: float = 120.0,
    fresh: bool = False,
    conversations: int = 0,
    turns: int = 4,
    channels: int = 0,
    channel_every_s: float = 5.0,
    also: Sequence[str] = (),
) -> int:
    """Run a load against an endpoint and record it. Returns the number of requests sent.

    ``also``: ``DIGEST=PATH`` of a checkpoint that may answer as well: of ``pulse`` the file of its
    weights, of a language model the image layout with its fingerprint.
    """
    loaded = load_site(site)
    if endpoint not in loaded.site.inference:
        known = ", ".join(sorted(loaded.site.inference))
        raise LabError(
            "ENDPOINT_UNKNOWN", f"the site has no endpoint {endpoint}", f"it has {known}"
        )
    if rate_per_s <= 0 or duration_s <= 0 or not 0 <= stream_share <= 1:
        raise LabError(
            "LOAD_INVALID",
            "rate and duration must be above 0, the stream share within 0 to 1",
            "see --help for each",
        )
    layout = parts.path(f"checkpoint-{endpoint}") / "oci"
    work = source.workload(
        loaded,
        endpoint,
        layout,
        interval_ms=interval_ms,
        max_tokens=max_tokens,
        also={digest: Path(place) for digest, _, place in (a.partition("=") for a in also)},
    )
    load = recorder.Load(
        rate_per_s,
        duration_s,
        stream_share,
        run=secrets.token_hex(4),
        fresh=fresh,
        conversations=conversations,
        turns=turns,
        channels=channels,
        channel_every_s=channel_every_s,
    )
    if conversations and not isinstance(work, PulseWorkload):
        raise LabError(
            "CONVERSATION_UNKNOWN",
            f"nobody knows beforehand what {endpoint} says in a conversation",
            "conversations have known answers on a pulse endpoint",
        )
    target = source.target(loaded, endpoint, timeout_s)
    side = recorder.Side(
        work if isinstance(work, PulseWorkload) else None,
        lambda name: source.channel(loaded, name, target, work),
    )
    return recorder.run(load, target, work, source.tls(loaded), out, side)


def marks(instance: Instance) -> Iterator[Mark]:
    """Yield what happened in a lab: its faults, and the steps of its site's operations."""
    yield from of_faults(instance.faults_file)
    yield from of_journal(instance.state_dir / "permafrost.db")


def history(file: Path) -> list[Record]:
    """Return what was recorded. Raises LabError on an unreadable file."""
    try:
        return list(read(file))
    except (OSError, ValueError) as error:
        raise LabError(
            "HISTORY_UNREADABLE", str(error), "name a history that `permafrost-lab traffic` wrote"
        ) from error


def summary(
    records: Sequence[Record], at: Sequence[str], happened: Sequence[Mark], window_s: float
) -> dict[str, Any]:
    """Return the checker's summary. Raises LabError on a moment that is none."""
    try:
        moments = [moment(text) for text in at]
    except ValueError as error:
        raise LabError("MOMENT_INVALID", str(error), "write it as RFC 3339") from error
    return check.summarise(records, moments, happened, window_s)


def relevant(records: Sequence[Record], happened: Iterator[Mark]) -> list[Mark]:
    """Return the marks between the first request and the last answer."""
    if not records:
        return []
    return within(happened, min(r.start for r in records), max(r.end for r in records))
