"""What the documents point at is there: links, files, folders, tests."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import PurePosixPath

import pytest

from lab.front.instance import CHECKOUT

TREES = "permafrost|lab|tests|infra|playbooks|templates|model_registry|docs|scripts|sites|policy"
PATH = re.compile(rf"(?<![\w/.<-])((?:{TREES})/[\w./*-]+)")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")
TEST = re.compile(r"(?<![\w/])(test_\w+\.py)")


def tracked() -> frozenset[str]:
    """Return every file of the project, and every folder."""
    argv = ["git", "-c", f"safe.directory={CHECKOUT}", "ls-files"]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    files = [line for line in done.stdout.splitlines() if (CHECKOUT / line).exists()]
    return frozenset(files) | {str(p) for f in files for p in PurePosixPath(f).parents}


KNOWN = tracked()
DOCUMENTS = sorted(f for f in KNOWN if f.endswith(".md") and f != "CHANGELOG.md")


def missing(document: str, text: str) -> Iterator[str]:
    """Yield what a document names and the project does not have."""
    folder = PurePosixPath(document).parent
    for path in (m.rstrip("./") for m in PATH.findall(text)):
        if not any(fnmatch(known, path) for known in (KNOWN if "*" in path else {path} & KNOWN)):
            yield path
    yield from (to for to in LINK.findall(text) if not (CHECKOUT / folder / to).exists())
    names = {PurePosixPath(known).name for known in KNOWN}
    yield from (name for name in TEST.findall(text) if name not in names)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_a_document_points_at_is_there(document: str) -> None:
    text = (CHECKOUT / document).read_text(encoding="utf-8")
    assert list(missing(document, text)) == []


def test_control_what_is_gone_is_named() -> None:
    text = "see tests/unit/test_gone.py, [it](gone.md), `docs/evidence/gone-*`, test_away.py"
    gone = ["tests/unit/test_gone.py", "docs/evidence/gone-*", "gone.md", "test_away.py"]
    assert list(missing("docs/architecture.md", text)) == gone
