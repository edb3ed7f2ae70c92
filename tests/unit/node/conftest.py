from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from permafrost.node.referring import FINGERPRINT, Attached
from permafrost.node.store import ModelStore

FILES = {"model.weights": b"frozen " * 1000, "nested/vocab.json": b"{}"}


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def manifest_of(files: dict[str, bytes]) -> bytes:
    layers = [
        {
            "digest": sha256(content),
            "size": len(content),
            "annotations": {"org.cncf.model.filepath": path},
        }
        for path, content in files.items()
    ]
    kind = "application/vnd.cncf.model.manifest.v1+json"
    return json.dumps({"artifactType": kind, "layers": layers}).encode()


class FakeReader:
    """A registry that holds one checkpoint and counts what was downloaded."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = {sha256(content): content for content in files.values()}
        self.content = manifest_of(files)
        self.checkpoint = sha256(self.content)
        self.recorded: dict[str, Any] = {"schema": 1, "checkpoint": self.checkpoint, "probes": []}
        self.downloads: list[str] = []

    def manifest(self, reference: str) -> bytes:
        assert reference == self.checkpoint
        return self.content

    def attached(self, subject: str, kind: str) -> list[Attached]:
        if kind != FINGERPRINT:
            return []
        content = json.dumps(self.recorded).encode()
        return [Attached(sha256(content), content)]

    def blob(self, digest: str) -> bytes:
        return self.files[digest]

    def download(self, digest: str, size: int, part: Path) -> None:
        self.downloads.append(digest)
        part.write_bytes(self.files[digest])


@pytest.fixture
def reader() -> FakeReader:
    return FakeReader(FILES)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


@pytest.fixture
def node_json(tmp_path: Path) -> Callable[..., Path]:
    """Write a settings file; keyword arguments replace top-level keys."""

    def write(**changes: Any) -> Path:
        path = tmp_path / "node.json"
        given = {
            "node": "lab-chat-01",
            "endpoint": "chat",
            "model_name": "chat",
            "slot": "a",
            "checkpoint": "sha256:" + "a" * 64,
            "registry": {
                "url": "https://registry.test:5000",
                "repository": "checkpoints/tiny",
                "username": "reader",
                "password_file": str(tmp_path / "password"),
                "ca_file": str(tmp_path / "ca.pem"),
            },
            "triton": {"a": {"http": 8000, "metrics": 8002}, "b": {"http": 8010, "metrics": 8012}},
            "models_dir": str(tmp_path / "models"),
            "slots_dir": str(tmp_path / "slots"),
            "fingerprint_file": str(tmp_path / "fingerprint.json"),
            "control_socket": str(tmp_path / "control.sock"),
        }
        path.write_text(json.dumps({**given, **changes}))
        return path

    return write
