"""A site whose knowledge lies in an object store that is no part of it: a MinIO beside the lab."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.driver import ROOT
from tests.acceptance.ownsite import folder, lab, permafrost, site_like
from tests.contract.knowledge.images import program_of
from tests.contract.knowledge.s3_bench import S3, SECRET, USER
from tests.knowledge.conftest import door, known, users

__all__ = ["door", "folder", "known", "lab", "permafrost", "users"]
PORT = 9443
STORE = f"""\
    object_store:
      address: ${{gateway}}
      port: {PORT}
      bucket: knowledge
      access_key: {USER}
      secret_key_file: s3/key
      ca_file: s3/ca.pem
"""


@pytest.fixture(scope="session")
def store() -> list[S3]:
    """The store that runs beside the site, once it does."""
    return []


@pytest.fixture(scope="session")
def site_env(
    store: list[S3], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The environment of a deployed site with that store."""
    text = (ROOT / "sites" / "lab-knowledge.yaml").read_text()
    external = text.replace("      object_store: ${minio_image}\n", "")
    external = external.replace("object_store: 3, ", "").replace(
        "    access:\n", f"{STORE}    access:\n"
    )
    assert external.count("object_store") == 1
    template = tmp_path_factory.mktemp("external") / "lab-knowledge-external.yaml"
    template.write_text(external)

    @contextmanager
    def beside(folder: Path) -> Iterator[None]:
        place = folder / "s3"
        place.mkdir()
        gateway = json.loads((folder / "lab.json").read_text())["gateway"]
        server = S3(
            program_of("image-minio", "usr/bin/minio", place / "minio"), place, PORT, gateway
        )
        (place / "key").write_text(SECRET)
        (place / "key").chmod(0o600)
        (place / "ca.pem").write_text(server.ca)
        try:
            server.start()
            server.make_bucket()
            store.append(server)
            yield
        finally:
            server.stop()

    with site_like(str(template), "x", beside) as env:
        yield env
