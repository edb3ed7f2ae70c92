"""Read a site file: every problem at once, each with its path, its line and what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from permafrost.errors import Problem, Refused
from permafrost.site.check_files import check_files
from permafrost.site.checks import check_site
from permafrost.site.lock import LOCK_NAME, follow_lock, references_of
from permafrost.site.model import Site

Lines = dict[str, int]
"""Path of a key or an item, as it is shown, to its line."""

LARGEST_BYTES = 16 * 1024 * 1024
DEEPEST = 32
"""Levels of nesting that are read: far more than a site has, far fewer than the parser's stack."""
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class LoadedSite:
    """A checked site and where it was read from.

    ``references`` are the endpoints whose model the file names by its stage. ``asked`` are the
    endpoints that serve something else than file and lock pin, with that pin: upgraded ones.
    """

    site: Site
    path: Path
    references: Mapping[str, str] = field(default_factory=dict)
    asked: Mapping[str, str] = field(default_factory=dict)

    def pinned(self, endpoint: str) -> str:
        """Return what file and lock pin for an endpoint, whatever it serves by now."""
        return self.asked.get(endpoint) or self.site.inference[endpoint].model

    def resolve(self, relative: str) -> Path:
        """Return a path of the site file as an absolute one (relative to the file's folder)."""
        return (self.path.parent / Path(relative).expanduser()).absolute()

    @property
    def state_dir(self) -> Path:
        """The folder in which Permafrost keeps what it knows of this site."""
        return self.resolve(self.site.control.state_dir)


def load_site(path: Path, *, with_files: bool = True, is_locked: bool = True) -> LoadedSite:
    """Return the site of a file; raise Refused with every problem found in it.

    Without ``with_files`` the files that it names are not looked at: a site file is checked so
    where its secrets are not. Models that are named by their stage become those that
    `models.lock` says, unless ``is_locked`` is false.
    """
    path = path.expanduser().absolute()
    document, lines = _read_yaml(path)
    try:
        site = Site.model_validate(document)
    except ValidationError as error:
        problems = [_translate(dict(entry), lines) for entry in error.errors()]
        # A key with a dot in it may read like a key within another: told once.
        raise Refused(*dict.fromkeys(problems)) from None
    loaded = LoadedSite(site, path)
    found = check_site(site)
    if with_files:
        found += check_files(site, loaded.resolve)
    if found:
        raise Refused(*(_with_line(problem, lines) for problem in found))
    references = references_of(site)
    if is_locked:
        try:
            site = follow_lock(site, references, path.parent / LOCK_NAME)
        except Refused as error:
            raise Refused(*(_with_line(p, lines) for p in error.problems)) from None
    return LoadedSite(site, path, references)


def _read_yaml(path: Path) -> tuple[Any, Lines]:
    text = _read_text(path)
    try:
        _require_shallow(text)
        loader = _LOADER(text)
        try:
            root = loader.get_single_node()
            document = loader.construct_document(root) if root is not None else None
        finally:
            loader.dispose()
        lines: Lines = {}
        repeated: list[Problem] = []
        if root is not None:
            _note_lines(root, "", lines, repeated, set())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark is not None else ""
        reason = getattr(error, "problem", None) or str(error)
        said = f"{path.name}{line}: {reason}"
        hint = "mend it there: an indentation, a quote or a colon that is missing, mostly"
        raise Refused(Problem("SITE_FILE_NOT_YAML", said, hint=hint)) from None
    except (ValueError, OverflowError, TypeError, LookupError) as error:
        # What YAML's own constructors raise: a date of no calendar, a tag that does not fit.
        raise Refused(
            Problem(
                "SITE_FILE_NOT_YAML",
                f"{path.name}: a value cannot be read: {error}",
                hint="put the value in quotes, and take tags such as `!!python` away",
            )
        ) from None
    if repeated:
        raise Refused(*repeated)
    if not isinstance(document, dict):
        raise Refused(
            Problem(
                "SITE_FILE_NOT_A_SITE",
                f"{path.name} holds no mapping of site settings",
                hint="name a site file with --site; sites/small.yaml is one to start from",
            )
        )
    return document, lines


def _require_shallow(text: str) -> None:
    """Raise ValueError when the text is nested deeply: composing it would exhaust the stack."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise ValueError(f"nested more than {DEEPEST} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _read_text(path: Path) -> str:
    hint = "name the site file with --site FILE or PERMAFROST_SITE"
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST_BYTES + 1)
        if len(data) > LARGEST_BYTES:
            reason = f"larger than {LARGEST_BYTES // 2**20} MiB"
            raise Refused(Problem("SITE_FILE_UNREADABLE", f"{path}: {reason}", hint=hint))
        return data.decode("utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Refused(
            Problem("SITE_FILE_UNREADABLE", f"cannot read {path}: {reason}", hint=hint)
        ) from None


def _note_lines(
    node: yaml.Node,
    path: str,
    lines: Lines,
    repeated: list[Problem],
    seen: set[int],
) -> None:
    """Walk the YAML tree; note each key's line, and keys that a plain load would overwrite.

    A node that aliases share is walked once: an alias may stand within what it names.
    """
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        here: dict[str, int] = {}
        for key, value in node.value:
            part = _part(key.value)
            name = f"{path}.{part}" if path else part
            line = key.start_mark.line + 1
            if name in here:
                repeated.append(
                    Problem(
                        "SITE_KEY_TWICE",
                        f"stands on line {here[name]} and again on line {line}",
                        path=name,
                        hint="keep one of the two",
                    )
                )
            here[name] = lines[name] = line
            _note_lines(value, name, lines, repeated, seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            name = f"{path}.{index}"
            lines[name] = value.start_mark.line + 1
            _note_lines(value, name, lines, repeated, seen)


_KINDS: dict[str, tuple[str, str]] = {
    "missing": ("SITE_KEY_MISSING", "add this key"),
    "extra_forbidden": (
        "SITE_KEY_UNKNOWN",
        "remove it or correct its spelling; `permafrost schema` lists every key",
    ),
}


_PLAIN_KEY = re.compile(r"[\w. -]+")


def _part(key: object) -> str:
    """Return one part of a path: in quotes where it could be taken for something else.

    Names of hosts have dots and are no place for quotes.
    """
    text = str(key)
    return text if _PLAIN_KEY.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _translate(entry: dict[str, Any], lines: Lines) -> Problem:
    location = [_part(part) for part in entry["loc"]]
    if entry["loc"][-1:] == ("[key]",) and ".".join(location) not in lines:
        location.pop()  # the validator's word for: the key itself is wrong
    code, hint = _KINDS.get(
        str(entry["type"]), ("SITE_VALUE_INVALID", "`permafrost schema` says what may stand here")
    )
    message = {
        "SITE_KEY_MISSING": "this key is required",
        "SITE_KEY_UNKNOWN": "no such key",
    }.get(code, str(entry["msg"]))
    return _with_line(Problem(code, message, ".".join(location), hint), lines)


def _with_line(problem: Problem, lines: Lines) -> Problem:
    """Add the line of the problem's path, or of the nearest key above it."""
    path = problem.path
    while path and path not in lines:
        path = path.rpartition(".")[0]
    if not path:
        return problem
    message = f"{problem.message} (line {lines[path]})"
    return Problem(problem.code, message, problem.path, problem.hint)
