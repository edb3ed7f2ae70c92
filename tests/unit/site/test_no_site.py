"""Files that are no site file at all: told in few words, whatever is in them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tests.fakes.memory import tmp_path
from tests.fakes.refusing import refusal
from tests.fakes.site import write_site

__all__ = ["tmp_path"]


def laughs() -> str:
    """A few lines that would be a million values, were aliases copied."""
    names = "abcdefghijklmnopqrstuvwxyz"
    lines = ["a: &a [x, x]"]
    for before, name in pairwise(names):
        lines.append(f"{name}: &{name} [*{before}, *{before}, *{before}]")
    return "\n".join(lines)


TEXTS = {
    "cut": "a: [1",
    "words": "just words",
    "empty": "",
    "list": "- a\n",
    "two documents": "a: 1\n---\nb: 2\n",
    "a date of no calendar": "a: 2001-99-99\n",
    "a number of nothing": "!!int\n",
    "an unknown tag": "a: !vault x\n",
    "python": "a: !!python/object/apply:os.system [id]\n",
    "deep": "a: " + "[" * 50_000,
    "deep, in lines": "".join(" " * i + "a:\n" for i in range(2000)),
    "within itself": "inference: &x\n  chat: *x\nhosts: &y {a: *y}\n",
    "tab": "a:\n\t- b\n",
    "laughs": laughs(),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_texts_that_are_no_site(tmp_path: Path, kind: str) -> None:
    path = write_site(tmp_path)
    path.write_text(TEXTS[kind], encoding="utf-8")
    found = refusal(path)
    assert 1 <= len(found) < 100
    assert all(len(str(p)) < 2000 for p in found)


def test_bytes_that_are_no_text_and_files_without_end(tmp_path: Path) -> None:
    path = write_site(tmp_path)
    path.write_bytes(b"site: \xff\xfe\n")
    assert refusal(path)[0].code == "SITE_FILE_UNREADABLE"
    assert refusal(tmp_path / "a\0b")[0].code == "SITE_FILE_UNREADABLE"
    path.unlink()
    path.symlink_to("/dev/zero")
    assert "larger than" in refusal(path)[0].message
