"""What clients and nodes are shown by way of certificates, and until when."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from permafrost.pki import endings, owners_problems
from permafrost.runbook.findings import Finding, Level
from permafrost.site.load import LoadedSite

SOON_DAYS = 30


def certificate_findings(loaded: LoadedSite, now: datetime | None = None) -> Iterator[Finding]:
    """Return a finding for each certificate that the site's owner brings; nothing without any."""
    now = now or datetime.now(UTC)
    problems = owners_problems(loaded, now)
    for place, ends in endings(loaded):
        wrong = [p.message for p in problems if p.path.startswith(place)]
        days = (ends - now).days if ends is not None else 0
        if wrong:
            yield Finding(place, Level.PROBLEM, "; ".join(wrong))
        elif days < SOON_DAYS:
            yield Finding(
                place, Level.PROBLEM, f"ends in {days} days, on {ends:%Y-%m-%d}: renew it"
            )
        else:
            yield Finding(place, Level.OK, f"until {ends:%Y-%m-%d}")
