"""Client keys: what is remembered of them, and what the edges are told. Pure.

A key is 256 random bits, so its plain SHA-256 gives nothing away and cannot be guessed back; the
key itself is shown once and kept nowhere. A key that ends does so on the edges by their own clock,
without anybody's doing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from permafrost.errors import Problem, Refused

PREFIX = "pf-"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
NEVER = 0


@dataclass(frozen=True, slots=True)
class ClientKey:
    """One key by its hash. ``expires`` is in seconds since the epoch, ``NEVER`` for none."""

    digest: str
    name: str
    added_at: str
    expires: int = NEVER

    def is_valid(self, now_s: float) -> bool:
        """Whether the key is taken at this moment."""
        return self.expires == NEVER or self.expires > now_s


def digest_of(key: str) -> str:
    """Return a key's SHA-256 as the edges write it: hexadecimal, capital letters."""
    return hashlib.sha256(key.encode()).hexdigest().upper()


def edge_map(keys: Iterable[ClientKey], now_s: float) -> dict[str, str]:
    """Return what every edge is to know: hash to ``name:expiry``."""
    return {k.digest: f"{k.name}:{k.expires}" for k in keys if k.is_valid(now_s)}


def check_name(name: str) -> str:
    """Return a client's name; Refused where it is none."""
    if NAME.fullmatch(name) is None:
        raise Refused(
            Problem(
                "CLIENT_NAME_INVALID",
                f"{name!r} is not a name: small letters, digits and hyphens, at most 40",
                name,
                "name it like `search-app`; `permafrost client list` shows those there are",
            )
        )
    return name


def require_known(keys: Iterable[ClientKey], name: str) -> tuple[ClientKey, ...]:
    """Return a client's keys, ended ones too; Refused (CLIENT_UNKNOWN) names those that are."""
    every = tuple(keys)
    found = tuple(k for k in every if k.name == check_name(name))
    if not found:
        known = ", ".join(sorted({k.name for k in every})) or "none"
        raise Refused(
            Problem("CLIENT_UNKNOWN", "there is no such client", name, f"known are: {known}")
        )
    return found
