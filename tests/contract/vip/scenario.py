"""One scenario in namespaces of its own (``test_restart.py`` makes them); prints JSON."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.contract.vip.clients import Load
from tests.contract.vip.edges import Changed, Site, unchanged, until
from tests.contract.vip.machines import begin_link

ADDRESS = "10.20.0.1/24"
STREAMS = 3
LATE_S = 6.0
"""Whoever waited longer was not answered when TCP began again after 3 s."""


def at_once(text: str) -> str:
    """Let the address go first, with nobody waited for: what VRRP alone does."""
    changed = re.sub(r"^peers=.*$", "peers=()", text, flags=re.MULTILINE)
    assert changed != text
    return changed


def impatient(text: str) -> str:
    """Let what is open end within a second."""
    changed = re.sub(r"--finish \d+", "--finish 1", text)
    assert changed != text
    return changed


def restart(folder: Path, *, changed: Changed = unchanged, times: int = 1) -> dict[str, Any]:
    """Restart HAProxy on whichever edge has the address, under every kind of client."""
    begin_link(ADDRESS)
    site = Site(folder, changed)
    said, moved = [], []
    with Load(folder) as load:
        load.await_answers()
        for _ in range(times):
            (held,) = site.holders()
            longer = [load.stream() for _ in range(STREAMS)]
            longer += [load.slow() for _ in range(STREAMS)]
            said.append(held.stop())
            held.start()
            load.await_answers()
            moved.append(site.holders() == [e for e in site.edges if e is not held])
            for client in longer:
                client.join()
    return {
        "asked": Counter(a.kind for a in load.asked),
        "lost": Counter(a.kind for a in load.lost()),
        "errors": [[a.kind, a.took_s, a.error] for a in load.lost()][:9],
        "said": said,
        "moved": moved,
    }


def trusting(text: str) -> str:
    """Let whoever takes connections be trusted with those of the address."""
    changed = text.replace("is_heard_while $!", "wait $!")
    assert changed != text
    return changed


def deaf(folder: Path, *, changed: Changed = unchanged) -> dict[str, Any]:
    """Restart it while the other edge serves, and takes no packets to the address."""
    begin_link(ADDRESS)
    site = Site(folder, changed)
    (held,) = site.holders()
    (other,) = (e for e in site.edges if e is not held)
    other.machine.sh("ip", "route", "flush", "table", "local", "proto", "86")
    with Load(folder) as load:
        load.await_answers()
        longer = [load.stream(), load.slow()]
        said = held.stop()
        held.start()
        load.await_answers()
        for client in longer:
            client.join()
    late = [a for a in load.asked if a.kind == "new" and a.took_s > LATE_S]
    return {"said": said, "late": len(late), "moved": site.holders() == [other]}


def unheard(text: str) -> str:
    """Let an edge be chosen whose keepalived does not run."""
    changed = text.replace('<<< "$refused"', '<<< ""')
    assert changed != text
    return changed


def of_three(folder: Path, *, changed: Changed = unchanged) -> dict[str, Any]:
    """Restart it on the first of three edges; no keepalived runs on the second."""
    begin_link(ADDRESS)
    site = Site(folder, changed, edges=3)
    held, second, third = site.edges
    second.end_keepalived()
    with Load(folder) as load:
        load.await_answers()
        # While these go on, new ones begin elsewhere.
        longer = [load.stream() for _ in range(STREAMS)]
        said = held.stop()
        moved = site.holders() == [third]
        held.start()
        load.await_answers()
        for client in longer:
            client.join()
    return {
        "lost": Counter(a.kind for a in load.lost()),
        "errors": [[a.kind, a.took_s, a.error] for a in load.lost()][:9],
        "said": said,
        "second": second.address,
        "third": third.address,
        "moved": moved,
    }


def nobody(folder: Path) -> dict[str, Any]:
    """Restart it while the only other edge serves, and no keepalived runs there."""
    begin_link(ADDRESS)
    site = Site(folder)
    held, other = site.edges
    other.end_keepalived()
    with Load(folder) as load:
        load.await_answers()
        stream = load.stream()
        said = held.stop()
        held.start()
        until("it has the address again", held.has_address)
        load.await_answers()
        stream.join()
    return {"said": said}


def alone(folder: Path) -> dict[str, Any]:
    """Restart it while no other edge answers."""
    begin_link(ADDRESS)
    site = Site(folder)
    (held,) = site.holders()
    (other,) = (e for e in site.edges if e is not held)
    other.end()
    said = held.stop()
    held.start()
    until("it has the address again", held.has_address)
    with Load(folder) as load:
        load.await_answers()
    return {"said": said, "lost_after": len(load.lost())}


def main() -> None:
    """Run the scenario that the command line names, in the folder that it names."""
    scenarios: dict[str, Callable[[Path], dict[str, Any]]] = {
        "restart": partial(restart, times=3),
        "at-once": partial(restart, changed=at_once),
        "impatient": partial(restart, changed=impatient),
        "deaf": deaf,
        "deaf-trusted": partial(deaf, changed=trusting),
        "alone": alone,
        "of-three": of_three,
        "of-three-unheard": partial(of_three, changed=unheard),
        "nobody": nobody,
    }
    sys.stdout.write(json.dumps(scenarios[sys.argv[1]](Path(sys.argv[2]))))


if __name__ == "__main__":
    main()
