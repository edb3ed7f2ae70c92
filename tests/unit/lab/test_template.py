"""What a kind of lab needs, as its template says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.build import parts
from lab.errors import LabError
from lab.instance.template import STANDARD, images_of, parts_of, secrets_of, text_of

SITES = sorted(STANDARD.parent.glob("lab*.yaml"))


def test_the_standard_lab_needs_nothing_beside_what_every_lab_has() -> None:
    assert (images_of(STANDARD), parts_of(STANDARD), secrets_of(STANDARD)) == ((), (), ())


def test_a_knowledge_tier_needs_its_images_and_its_users_passwords() -> None:
    template = STANDARD.with_name("lab-knowledge.yaml")
    assert images_of(template) == ("etcd", "kafka", "milvus", "minio")
    assert secrets_of(template) == ("users/app", "users/loader")


@pytest.mark.parametrize("template", SITES, ids=lambda path: path.stem)
def test_each_part_that_a_template_asks_for_can_be_built(template: Path) -> None:
    assert set(parts_of(template)) <= parts.ON_DEMAND


def test_what_is_not_there_or_no_text_is_said_with_a_code(tmp_path: Path) -> None:
    pictures = tmp_path / "picture.yaml"
    pictures.write_bytes(b"\xff\xfe\x00")
    for template in (tmp_path / "none.yaml", tmp_path, pictures):
        with pytest.raises(LabError, match=f"SITE_TEMPLATE: {template}"):
            text_of(template)
