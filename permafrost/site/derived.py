"""What is derived from a site alone is worked out once a site.

A site never changes once it is loaded, and what follows from it is asked for at every look at the
tiers: who the nodes are, which member has which role.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from permafrost.site.model import Site

Derived = TypeVar("Derived")

_SITES = 8
"""Sites that are remembered: a command works with two, the live one and the one wished for."""


class _This:
    """One site, told from others by being another object: to compare what is in it takes long."""

    __slots__ = ("site",)

    def __init__(self, site: Site) -> None:
        self.site = site

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _This) and self.site is other.site

    def __hash__(self) -> int:
        return id(self.site)


def once_a_site(derive: Callable[[Site], Derived]) -> Callable[[Site], Derived]:
    """Remember what a function derives from a site. All callers share it: let it be unchangeable.

    What it raises is not remembered. A site that is remembered is kept, so that no other one takes
    its place in memory and is mistaken for it.
    """

    @lru_cache(maxsize=_SITES)
    def derived(this: _This) -> Derived:
        return derive(this.site)

    @wraps(derive)
    def of(site: Site) -> Derived:
        return derived(_This(site))

    return of
