"""Property paths, as the engine writes them: `disks[0].size`, `extraConfig["a.b"]`."""

from __future__ import annotations

import re
from typing import Any

PATH = re.compile(r'\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|([^.\[\]]+)')


def path_keys(path: str) -> list[str | int]:
    """Return the keys of a property path such as `disks[0].size` or `extraConfig["a.b"]`."""
    keys: list[str | int] = []
    for quoted, index, name in PATH.findall(path):
        keys.append(int(index) if index else name or quoted.replace('\\"', '"'))
    return keys


def with_values_of(news: Any, olds: Any, keys: list[str | int]) -> Any:
    """Return `news` with what stands in `olds` at a path; where that has nothing, as it is."""
    key, rest = keys[0], keys[1:]
    if isinstance(key, int):
        fits = isinstance(news, list) and isinstance(olds, list)
        if not fits or key >= min(len(news), len(olds)):
            return news
    elif not isinstance(news, dict) or not isinstance(olds, dict) or olds.get(key) is None:
        return news
    copy: Any = news.copy()
    at = copy[key] if isinstance(key, int) else copy.get(key)
    copy[key] = with_values_of(at, olds[key], rest) if rest else olds[key]
    return copy


def top_level(path: str) -> str:
    """Return the property that a path begins with."""
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def map_path(path: str, key: str) -> str:
    """Return the path of one key of a map."""
    plain = re.fullmatch(r"[A-Za-z_$][\w$]*", key)
    return f"{path}.{key}" if plain else f'{path}["{key}"]'
