"""Where the site demands it, a fingerprint counts only with a signature: closed otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model_registry.signing import SigningKey, sign_file
from permafrost.node import baselines, settings
from permafrost.node.errors import NodeError
from permafrost.node.gate import ADMITTED, OUT
from permafrost.node.referring import FINGERPRINT, SIGNATURE, Attached
from permafrost.node.running import make_service
from tests.unit.model_registry.keys import keys
from tests.unit.node.conftest import sha256
from tests.unit.node.gate_bench import PROBES

CHECKPOINT = "sha256:" + "a" * 64


def document(engine: str) -> bytes:
    probes = [
        {"id": p.id, "text_input": p.text_input, "sampling_parameters": p.sampling,
         "token_ids": list(p.token_ids)}
        for p in PROBES
    ]  # fmt: skip
    told = {"schema": 1, "checkpoint": CHECKPOINT, "engine": engine, "probes": probes}
    return json.dumps(told).encode()


class Shelf:
    """A registry with fingerprints and signatures of them, the newest first."""

    def __init__(self) -> None:
        self.held: list[tuple[str, str, bytes]] = []

    def put(self, subject: str, kind: str, content: bytes) -> str:
        self.held.insert(0, (subject, kind, content))
        return sha256(content)

    def attached(self, subject: str, kind: str) -> list[Attached]:
        return [Attached(sha256(c), c) for s, k, c in self.held if (s, k) == (subject, kind)]


class Site:
    """One file on a node, a registry, a key that counts and one that does not."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.shelf = folder, Shelf()
        self.file = folder / "fingerprint-aaaa.json"
        self.key, trusted = keys(folder, "release")
        self.stranger, _ = keys(folder, "stranger")
        self.signers = {"release": trusted.anchor.read_text()}

    def record(self, content: bytes, *by: SigningKey) -> None:
        artifact = self.shelf.put(CHECKPOINT, FINGERPRINT, content)
        for key in by:
            self.shelf.put(artifact, SIGNATURE, self.signature(content, key))

    def signature(self, content: bytes, key: SigningKey) -> bytes:
        file = self.folder / "fingerprint.json"
        file.write_bytes(content)
        return sign_file(file, key)

    def follow(self, **changes: Any) -> bool:
        signers = changes.get("signers", self.signers)
        return baselines.follow(CHECKPOINT, self.shelf, self.file, dict, signers)

    def load(self, **changes: Any) -> int:
        return len(baselines.load(self.file, CHECKPOINT, changes.get("signers", self.signers)))

    def kept(self) -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in self.folder.glob("fingerprint-aaaa*")}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_unsigned_ones_and_those_of_strangers_are_not_kept(site: Site) -> None:
    site.record(document("unsigned"))
    site.record(document("slipped in"), site.stranger)
    with pytest.raises(NodeError, match=r"FINGERPRINT_UNSIGNED.*of 2 .* release"):
        site.follow()
    assert site.kept() == {}
    with pytest.raises(NodeError, match="FINGERPRINT_UNSIGNED"):
        site.follow(signers={})
    assert site.follow(signers=None), "the control: where nobody demands it, they count"
    with pytest.raises(NodeError, match="FINGERPRINT_UNSIGNED"):
        site.load()


def test_a_signed_one_is_kept_whatever_was_slipped_in_later(site: Site) -> None:
    site.record(document("looked at"), site.stranger, site.key)
    site.record(document("slipped in"), site.stranger)
    site.shelf.put(CHECKPOINT, FINGERPRINT, b"not even JSON")
    assert site.follow()
    assert site.load() == len(PROBES)
    assert site.file.read_bytes() == document("looked at")
    assert not site.follow(), "the second changes nothing"


def test_a_file_that_was_changed_admits_nothing_by_its_signature(site: Site) -> None:
    site.record(document("looked at"), site.key)
    site.follow()
    site.file.write_bytes(document("changed"))
    with pytest.raises(NodeError, match="FINGERPRINT_UNSIGNED"):
        site.load()
    (old,) = site.file.parent.glob("fingerprint-aaaa.*.sig")
    old.rename(baselines._beside(site.file, document("changed")))
    with pytest.raises(NodeError, match="FINGERPRINT_UNSIGNED"):
        site.load()
    assert site.follow(), "fetched again"
    assert site.load() == len(PROBES)


def test_a_key_that_no_longer_counts_admits_nothing(site: Site) -> None:
    site.record(document("looked at"), site.key)
    site.follow()
    other = {"next": keys(site.folder, "next")[1].anchor.read_text()}
    with pytest.raises(NodeError, match=r"FINGERPRINT_UNSIGNED.*next"):
        site.load(signers=other)
    before = site.kept()
    with pytest.raises(NodeError, match="FINGERPRINT_UNSIGNED"):
        site.follow(signers=other)
    assert site.kept() == before


@pytest.mark.parametrize("cut_after", [0, 1, 2])
def test_cut_anywhere_what_is_read_has_its_signature(
    site: Site, cut_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut before the signature, between it and the file, before the old signature goes."""
    site.record(document("first"), site.key)
    site.follow()
    site.record(document("second"), site.key)
    real, done = baselines._write, []

    def cut(content: bytes, target: Path) -> bool:
        if len(done) == cut_after:
            raise KeyboardInterrupt
        done.append(target)
        return real(content, target)

    monkeypatch.setattr(baselines, "_write", cut)
    if cut_after < 2:
        with pytest.raises(KeyboardInterrupt):
            site.follow()
        assert site.load() == len(PROBES)
    monkeypatch.setattr(baselines, "_write", real)
    site.follow()
    assert (site.load(), site.file.read_bytes()) == (len(PROBES), document("second"))
    assert len(site.kept()) == 2


def test_the_gate_is_closed_by_it(
    site: Site, node_json: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service's own gate, with a server that answers everything right."""
    from tests.unit.node.gate_bench import FakeTriton

    server = FakeTriton()
    server.digest = CHECKPOINT
    monkeypatch.setattr("permafrost.node.running.Triton", lambda *_, **__: server)
    told = settings.load(node_json())
    site.file = told.fingerprint_of(CHECKPOINT)
    gate = make_service(told).gate  # the demand comes while the service runs, and it goes on

    def state() -> tuple[str, str]:
        gate.tick()
        gate.probe()
        return gate.view().state, gate.view().reason

    site.record(document("unsigned"))
    site.follow(signers=None)
    assert state()[0] == ADMITTED, "the control"
    node_json(baseline_signers=site.signers)
    closed, why = state()
    assert closed == OUT
    assert "FINGERPRINT_UNSIGNED" in why
    site.record(document("signed"), site.key)
    site.follow()
    assert state() == (ADMITTED, "")
    site.file.write_bytes(site.file.read_bytes() + b" ")  # the same probes, other bytes
    assert state()[0] == OUT
    told.source.write_text("{")
    assert "SETTINGS_INVALID" in state()[1]


def test_no_demand_is_told_from_nobody_who_may_sign(node_json: Any) -> None:
    assert settings.load(node_json()).baseline_signers is None
    assert settings.load(node_json(baseline_signers=None)).baseline_signers is None
    assert settings.load(node_json(baseline_signers={})).baseline_signers == {}
    with pytest.raises(NodeError, match="SETTINGS_INVALID"):
        settings.load(node_json(baseline_signers=["release"]))
