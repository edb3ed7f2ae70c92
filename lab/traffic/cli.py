"""``permafrost-lab traffic`` and ``check``: their bodies; the options are declared in lab.cli."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from lab.build import parts
from lab.errors import LabError
from lab.traffic import check, recorder, source
from lab.traffic.record import moment, read
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
) -> int:
    """Run a load against an endpoint and record it. Returns the number of requests sent."""
    loaded = load_site(site)
    if endpoint not in loaded.site.inference:
        known = ", ".join(sorted(loaded.site.inference))
        raise LabError(
            "ENDPOINT_UNKNOWN", f"the site has no endpoint {endpoint}", f"it has {known}"
        )
    if rate_per_s <= 0 or duration_s <= 0 or not 0 <= stream_share <= 1:
        raise LabError(
            "LOAD_INVALID", "rate and duration must be above 0, the stream share within 0 to 1", ""
        )
    layout = parts.path(f"checkpoint-{endpoint}") / "oci"
    return recorder.run(
        recorder.Load(rate_per_s, duration_s, stream_share, secrets.token_hex(4), fresh),
        source.target(loaded, endpoint, timeout_s),
        source.workload(loaded, endpoint, layout, interval_ms=interval_ms, max_tokens=max_tokens),
        source.tls(loaded),
        out,
    )


def summary(file: Path, at: list[str]) -> dict[str, Any]:
    """Return the checker's summary of a recorded file. Raises LabError on an unreadable one."""
    try:
        return check.summarise(list(read(file)), [moment(text) for text in at])
    except (OSError, ValueError) as error:
        raise LabError("HISTORY_UNREADABLE", str(error), "") from error
