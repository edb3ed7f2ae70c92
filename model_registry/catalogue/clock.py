"""Times as text: UTC, RFC 3339, milliseconds; they sort as they follow each other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from model_registry.errors import RegistryRefused


def utc_now() -> datetime:
    """Return the present time."""
    return datetime.now(UTC)


def text_of(moment: datetime) -> str:
    """Return ``2026-01-31T12:00:00.000Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


APART = timedelta(minutes=5)
"""By how much clocks of two who write may differ without anybody having to look."""


def is_far_ahead(at: str, now: datetime) -> bool:
    """Whether a time in the catalogue's form is further ahead of now than clocks may differ."""
    return at > text_of(now + APART)


def parse(text: str) -> str:
    """Return a time as a person writes it in the catalogue's form; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise RegistryRefused(
            "TIME_INVALID", f"{text!r} is no time", "write it as 2026-05-05T14:03:00Z"
        ) from None
    return text_of(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
