"""A site with the Milvus before, whose site file also names the image of the next one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.driver import ROOT
from tests.acceptance.ownsite import folder, lab, permafrost, site_like
from tests.knowledge.conftest import door, known, users

__all__ = ["door", "folder", "known", "lab", "permafrost", "users"]


@pytest.fixture(scope="session")
def site_env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a deployed site of the version before."""
    text = (ROOT / "sites" / "lab-knowledge.yaml").read_text()
    older = text.replace("version: 2.3.5", "version: 2.3.4")
    older = older.replace("${milvus_image}", "${milvus_older_image}")
    assert older != text
    template = tmp_path_factory.mktemp("upgrade") / "lab-knowledge-older.yaml"
    # In a comment: the lab has the image of the next version too, and the test reads its pin.
    template.write_text(older + "\n# next: ${milvus_image}\n")
    with site_like(str(template), "u") as env:
        yield env


@pytest.fixture(scope="session")
def next_image(site_env: dict[str, str]) -> str:
    """Return the pin of the next version's image."""
    file = Path(os.environ.get("PERMAFROST_SITE") or site_env["PERMAFROST_SITE"])
    found = [line for line in file.read_text().splitlines() if line.startswith("# next: ")]
    if not found:
        pytest.skip("the site that is named was not made for an upgrade")
    return found[0].removeprefix("# next: ")
