"""Production examples with the files that they name, and site documents spoilt at random."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from permafrost.site.check_files import named_files
from permafrost.site.load import load_site
from permafrost.site.model import Site
from tests.fakes.site import document

SITES = Path(__file__).resolve().parents[2] / "sites"
EXAMPLES = ("three-racks", "small")


@cache
def _document(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((SITES / f"{name}.yaml").read_text(encoding="utf-8"))
    return found


def example(name: str) -> dict[str, Any]:
    """Return the document of a production example."""
    return copy.deepcopy(_document(name))


def example_site(name: str) -> Site:
    """Return a production example as a checked site."""
    return load_site(SITES / f"{name}.yaml", with_files=False).site


def as_yaml(values: Any) -> str:
    """Return a document as text."""
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(values, Dumper=dumper, sort_keys=False, allow_unicode=True))


def write_example(folder: Path, name: str) -> Path:
    """Write a production example with every file that it names; return its path."""
    values = example(name)
    values["control"]["state_dir"] = "state"
    path = folder / "site.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    for file, _ in named_files(example_site(name)).values():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("something\n", encoding="utf-8")
        (folder / file).chmod(0o600)
    return path


Path_ = tuple[str | int, ...]

HOSTILE: list[Any] = [
    None, True, False, 0, 1, -1, 3, 10**30, 2**63, 1.5, float("inf"), float("nan"), "", " ", "-",
    "a", "none", "~nobody-here/x", "../../../etc/passwd", "\0", "a\nb", "x" * 5000, "ü", "😀",
    "10.64.1.20", "10.64.1.20-10.64.1.22", "10.64.1.22-10.64.1.20", "0.0.0.0-255.255.255.255",
    "10.64.1.0/24", "10.64.1.1/24", "0.0.0.0/0", "::1", "999.1.1.1-1.1.1.1", "-", "10de:2330",
    "sha256:" + "a" * 64, "oci://", "file://", "{{ 7 * 7 }}", "${HOME}", "%n%s", [], {}, [[]],
    [None], {"": ""}, {"a": {"b": []}}, ["a", 1], {1: 2}, "vgpu", "passthrough", "rack", "room",
    "host", "edge", "knowledge", "lab", "hardware", "passphrase", "vllm",
]  # fmt: skip


def places(value: Any, here: Path_ = ()) -> list[Path_]:
    """Return the path of everything in a document, the document itself left out."""
    items: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    found: list[Path_] = []
    for key, inner in items:
        found += [(*here, key), *places(inner, (*here, key))]
    return found


def _parent(values: Any, place: Path_) -> Any:
    for key in place[:-1]:
        values = values[key]
    return values


@st.composite
def spoilt_documents(draw: st.DrawFn) -> dict[str, Any]:
    """A good document with one to four things removed, added, replaced, moved or copied."""
    base = draw(st.sampled_from(["fake", *EXAMPLES]))
    values = document() if base == "fake" else example(base)
    for _ in range(draw(st.integers(1, 4))):
        known = places(values)
        if not known:
            break
        place = draw(st.sampled_from(known))
        parent, key = _parent(values, place), place[-1]
        match draw(st.sampled_from(["replace", "replace", "remove", "add", "copy", "rename"])):
            case "replace":
                parent[key] = copy.deepcopy(draw(st.sampled_from(HOSTILE)))
            case "remove":
                del parent[key]
            case "add" if isinstance(parent, dict):
                name = draw(st.sampled_from(["extra", "x.y", "", "replicas", "[key]", "<<"]))
                parent[name] = copy.deepcopy(draw(st.sampled_from(HOSTILE)))
            case "copy":
                other = draw(st.sampled_from(known))
                parent[key] = copy.deepcopy(_parent(values, other)[other[-1]])
            case "rename" if isinstance(parent, dict):
                parent[draw(st.sampled_from(["edge", "Chat", "a" * 40, "0", "ü"]))] = parent.pop(
                    key
                )
    return values


@st.composite
def spoilt_texts(draw: st.DrawFn) -> bytes:
    """The bytes of a good file, cut, overwritten, doubled or with bytes put in."""
    base = draw(st.sampled_from(["lab", *EXAMPLES]))
    data = bytearray((SITES / f"{base}.yaml").read_bytes())
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        junk = draw(
            st.one_of(
                st.binary(min_size=1, max_size=8),
                st.sampled_from(
                    [b"\n", b": ", b"- ", b"{", b"]", b"*x", b"&x ", b"!!binary ", b"!!int ",
                     b"2001-99-99", b"<<: ", b"\t", b"? ", b"|\n", b"'", b'"', b"%", b"---\n"]
                ),
            )
        )  # fmt: skip
        match draw(st.sampled_from(["insert", "overwrite", "cut", "drop"])):
            case "insert":
                data[at:at] = junk
            case "overwrite":
                data[at : at + len(junk)] = junk
            case "cut":
                del data[at:]
            case "drop":
                del data[at : at + draw(st.integers(1, 80))]
    return bytes(data)
