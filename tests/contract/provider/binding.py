"""Comparing answers with recorded ones: placeholders, sets, and what may differ."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
PLACEHOLDER = re.compile(r"(<(?!computed>)[a-z]+(?::\w+){0,2}>)")
LOOSE = ("<time>", "<server>", "<unknown>")
SETS = re.compile(r"\.(virtualMachineIds|hostSystemIds|tags|associableTypes|virtualMachines)$")
MEMBER = re.compile(r"^(virtualMachineIds|hostSystemIds|tags|associableTypes)\[\d+\]$")
SHOWN = 300


@dataclass(frozen=True)
class Difference:
    """One value that is not as recorded."""

    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


def walk(value: Any, change: Callable[[str], str]) -> Any:
    """Return a value with `change` applied to each text in it, keys too."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(k): walk(v, change) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [walk(v, change) for v in value]
    return value


def resolve(value: Any, answers: Sequence[Any]) -> Any:
    """Return a request with values of earlier answers in place of its references."""
    if isinstance(value, list):
        return [resolve(v, answers) for v in value]
    if not isinstance(value, dict):
        return value
    if set(value) != {"$ref"}:
        return {k: resolve(v, answers) for k, v in value.items()}
    step, _, path = value["$ref"].removeprefix("step:").partition(".")
    found = answers[int(step) - 1]
    for part in path.split("."):
        if found is None:
            return None
        found = found[int(part)] if isinstance(found, list) else found.get(part)
    return found


@dataclass
class Binding:
    """Values of a case's placeholders: bound where first met, compared after."""

    values: dict[str, str]
    ignored: tuple[str, ...] = ()
    found: list[Difference] = field(default_factory=list)

    def fill(self, value: Any) -> Any:
        """Return a recorded request with this run's values."""
        return walk(value, self._fill_text)

    def _fill_text(self, text: str) -> str:
        filled = PLACEHOLDER.sub(lambda m: self.values.get(m.group(1), m.group(1)), text)
        return filled.replace("<unknown>", UNKNOWN)

    def compare(self, want: Any, got: Any, path: str) -> None:
        """Note what is different between a recorded value and this run's."""
        if any(re.search(pattern, path) for pattern in self.ignored):
            return
        if isinstance(want, dict) and isinstance(got, dict):
            self._compare_objects(want, got, path)
        elif isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
            items = got
            if SETS.search(path) and all(isinstance(x, str) for x in [*want, *got]):
                items = self._paired(want, got)
            for i, (w, g) in enumerate(zip(want, items, strict=True)):
                self.compare(w, g, f"{path}[{i}]")
        elif isinstance(want, str) and isinstance(got, str) and "<" in want:
            self._compare_texts(want, got, path)
        elif want != got:
            self._note(path, want, got)

    def _compare_objects(self, want: dict[str, Any], got: dict[str, Any], path: str) -> None:
        if path.endswith(".detailedDiff"):
            want, got = _without_places(want), _without_places(got)
        for key in sorted(set(want) | set(got)):
            at = f"{path}.{key}"
            if any(re.search(pattern, at) for pattern in self.ignored):
                continue
            if key not in got:
                self.found.append(Difference(at, f"missing, recorded {_shown(want[key])}"))
            elif key not in want:
                self.found.append(Difference(at, f"not recorded, got {_shown(got[key])}"))
            else:
                self.compare(want[key], got[key], at)

    def _paired(self, want: list[str], got: list[str]) -> list[str]:
        """Return a set's members in the order of the recorded ones they stand for."""
        left, out = list(got), []
        for text in want:
            value = self._fill_text(text)
            pick = (
                value
                if value in left
                else next((g for g in left if g not in map(self._fill_text, want)), left[0])
            )
            left.remove(pick)
            out.append(pick)
        return out

    def _compare_texts(self, want: str, got: str, path: str) -> None:
        parts = PLACEHOLDER.split(want)
        pattern = "".join(
            f"({UNKNOWN})" if p == "<unknown>" else "(.+?)" if i % 2 else re.escape(p)
            for i, p in enumerate(parts)
        )
        match = re.fullmatch(pattern, got, re.DOTALL)
        if match is None:
            self._note(path, want, got)
            return
        for name, value in zip(parts[1::2], match.groups(), strict=True):
            if name in LOOSE or name.startswith(("<any", "<path")):
                continue
            if self.values.setdefault(name, value) != value:
                self._note(path, f"{name} = {self.values[name]}", value)

    def _note(self, path: str, want: Any, got: Any) -> None:
        self.found.append(Difference(path, f"recorded {_shown(want)}, got {_shown(got)}"))


def _without_places(detail: dict[str, str]) -> dict[str, str]:
    """Return changes of sets without the places of members: a set has no order."""
    out: dict[str, str] = {}
    for path, kind in detail.items():
        match = MEMBER.match(path)
        if match is None:
            out[path] = kind
            continue
        # One member for another at the same place is an update: the place is chance.
        for one in ("ADD", "DELETE") if kind == "UPDATE" else (kind,):
            n = 1
            while f"{match.group(1)}[{one} {n}]" in out:
                n += 1
            out[f"{match.group(1)}[{one} {n}]"] = one
    return out


def _shown(value: Any) -> str:
    return json.dumps(value)[:SHOWN]
