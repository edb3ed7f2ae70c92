"""`permafrost model` in scenarios: a release key, and a site that demands its signature."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.acceptance.checkpoints import Layout
from tests.acceptance.driver import ROOT, Cli

CHAT, PULSE = "smollm2-135m-instruct", "pulse"
DEMANDED = ("promote", "deploy")


class Models:
    """`permafrost model` for one site file, with a registry of its own."""

    def __init__(self, site: Path, home: Path) -> None:
        self.site = site
        self.cli = Cli(
            ROOT / ".venv/bin/permafrost",
            {**os.environ, "PERMAFROST_SITE": str(site), "PERMAFROST_MODELS": str(home)},
        )
        self.layout = Layout(home / "oci")

    def do(self, *words: str) -> Any:
        return self.cli.json("model", *words)

    def refused(self, *words: str) -> str:
        done = self.cli.run(*words, "--output", "json", expect=3)
        return str(json.loads(done.stderr)[0]["code"])

    def release(self, label: str, key: Path) -> None:
        """Sign a version and take it to production."""
        self.do("sign", label, "--key", str(key))
        for _ in range(2):
            self.do("promote", label, "--yes", "--why", "evaluated")


def release_key(folder: Path) -> Path:
    """Write a key pair; returns the private half, the public one has the suffix ``.pub``."""
    private = ec.generate_private_key(ec.SECP256R1())
    path = folder / "release.key"
    path.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    path.with_suffix(".pub").write_bytes(
        private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return path


@contextmanager
def signed_site(
    site_file: Path, key: Path, *, required_for: Sequence[str] = DEMANDED, **references: str
) -> Iterator[Path]:
    """Yield a site that demands the key's signature and names endpoints' models by stage."""
    site = site_file.with_name("site-signed.yaml")
    name_models(site_file, site, key, required_for=required_for, **references)
    try:
        yield site
    finally:
        site.unlink()
        site.with_name("models.lock").unlink(missing_ok=True)


def name_models(
    site_file: Path,
    site: Path,
    key: Path,
    *,
    required_for: Sequence[str] = DEMANDED,
    **references: str,
) -> None:
    """Write ``site``: what ``site_file`` says, with other models and a signer."""
    values = yaml.safe_load(site_file.read_text())
    for endpoint, reference in references.items():
        values["inference"][endpoint]["model"] = reference
    values["registry"]["signatures"] = {
        "signers": {"release": str(key.with_suffix(".pub"))},
        "required_for": list(required_for),
    }
    site.write_text(yaml.safe_dump(values))


def built(name: str) -> Path:
    """Return the folder of a part of the lab; one that no lab begins with is built first."""
    said = Cli(ROOT / ".venv/bin/python").run("-m", "lab.build", name, timeout=900).stdout
    return Path(said.split()[-1])


def pinned(site_file: Path, name: str) -> str:
    model = yaml.safe_load(site_file.read_text())["inference"][name]["model"]
    return str(model.partition("@")[2])


def now() -> str:
    return datetime.now(UTC).isoformat()
