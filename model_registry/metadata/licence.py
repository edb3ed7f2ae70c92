"""The licence of a checkpoint: what its model card says, else what its licence file looks like."""

from __future__ import annotations

import re
from pathlib import Path

_START = 1 << 14
_FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---", re.DOTALL)
_KEY = re.compile(r"^license(_name)?:\s*['\"]?([^\s'\"#]+)", re.MULTILINE)
# The SPDX identifiers of names that model cards use
_SPDX = {
    "apache-2.0": "Apache-2.0", "mit": "MIT", "bsd-3-clause": "BSD-3-Clause",
    "cc-by-4.0": "CC-BY-4.0", "cc-by-nc-4.0": "CC-BY-NC-4.0", "gpl-3.0": "GPL-3.0-only",
    "llama2": "LicenseRef-llama2", "llama3": "LicenseRef-llama3", "gemma": "LicenseRef-gemma",
    "bigcode-openrail-m": "LicenseRef-bigcode-openrail-m",
}  # fmt: skip
_TEXTS = (
    (re.compile(r"Apache License\s+Version 2\.0"), "Apache-2.0"),
    (re.compile(r"MIT License|Permission is hereby granted, free of charge"), "MIT"),
    (re.compile(r"LLAMA 2 COMMUNITY LICENSE", re.IGNORECASE), "LicenseRef-llama2"),
    (re.compile(r"BigCode OpenRAIL-M", re.IGNORECASE), "LicenseRef-bigcode-openrail-m"),
    (re.compile(r"BSD 3-Clause"), "BSD-3-Clause"),
)


def read(files: dict[str, Path]) -> str:
    """Return the licence that a checkpoint's files name; nothing where none does."""
    by_name = {name.lower(): path for name, path in files.items()}
    if "readme.md" in by_name:
        front = _FRONT_MATTER.match(_start(by_name["readme.md"]).replace("\r\n", "\n"))
        named = {m[1] or "": m[2] for m in _KEY.finditer(front[1])} if front else {}
        said = named.get("", "")
        if said == "other":
            said = named.get("_name", said)
        if said:
            return spdx(said)
    for name, path in sorted(by_name.items()):
        if name.startswith(("license", "licence", "copying")):
            content = _start(path)
            return next((spdx_id for form, spdx_id in _TEXTS if form.search(content)), "")
    return ""


def spdx(named: str) -> str:
    """Return the SPDX identifier of a licence's usual name, or the name itself."""
    return _SPDX.get(named.lower(), named)


def _start(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_START).decode("utf-8", "replace")
