"""A replica that is declared away and is sent requests: which command puts that right?

An undrain that was cut off, a drain whose edges were not all told, an edge that was off meanwhile:
each looks the same from its edges, and not every command is let through in each.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from permafrost.errors import Refused
from permafrost.planning.drain import plan_drain
from permafrost.planning.live import LiveState
from permafrost.site.model import Site
from permafrost.topology import Node


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An operation of a person that waits for `resume`, or for `abort` once that was begun."""

    operation: str
    name: str
    is_back: bool

    @property
    def way_on(self) -> str:
        """The command that brings it to its end."""
        return f"`permafrost {'abort' if self.is_back else 'resume'} {self.operation}`"


def what_to_do(
    site: Site,
    live: LiveState,
    node: Node,
    unfinished: Iterable[Unfinished] = (),
    *,
    is_held: bool = False,
) -> str:
    """Return it as the end of a sentence; empty where nobody sends it anything.

    ``unfinished``: nothing else begins before it is ended. ``is_held``: somebody is at work now.
    """
    declared = live.declared.get(node.name)
    is_sent = any(s.takes_requests for s in live.traffic.of(node.name))
    if declared is None or not declared.is_away or not is_sent:
        return ""
    if is_held:
        return "an operation is at work"
    waiting = next(iter(unfinished), None)
    if waiting is not None:
        return f"{waiting.name} is unfinished: {waiting.way_on} goes on with it"
    if declared.is_automatic:
        return f"`permafrost undrain {node.name}` brings it back"
    try:
        plan_drain(site, live, node)
    except Refused:
        return f"it is needed: `permafrost undrain {node.name}` brings it back"
    return f"`permafrost drain {node.name}` tells them again"
