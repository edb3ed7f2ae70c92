"""What must be true of every site file that is no good: one clear list, nothing touched."""

from __future__ import annotations

import re
from pathlib import Path

from permafrost.errors import Problem, Refused
from permafrost.site.load import load_site
from permafrost.topology import nodes

CODE = re.compile(r"^[A-Z][A-Z0-9_]+$")


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of change of everything in a folder."""
    return {
        str(p.relative_to(folder)): (p.lstat().st_size, p.lstat().st_mtime_ns)
        for p in sorted(folder.rglob("*"))
    }


def refusal(path: Path) -> tuple[Problem, ...]:
    """Load a file; return its problems, none where it is good. Any other error goes through."""
    before = tree(path.parent)
    refused: Refused | None = None
    try:
        found = nodes(load_site(path).site)
    except Refused as error:
        refused = error
    assert tree(path.parent) == before, "reading a site file changes nothing"
    if refused is None:
        assert len({n.address for n in found}) == len({n.name for n in found}) == len(found)
        return ()
    assert refused.exit_status == 3
    assert refused.problems
    assert len(set(refused.problems)) == len(refused.problems), "told twice"
    for problem in refused.problems:
        assert CODE.match(problem.code), problem
        assert problem.message.strip(), problem
        assert "Traceback" not in problem.message
    return refused.problems
