"""All parts: known names, keys that follow what they are made from, lanes that hold each once."""

from __future__ import annotations

import re

import pytest

from lab.build import parts
from lab.build.model import CHECKOUT
from lab.build.problem import BuildError

LOCK = (CHECKOUT / "requirements.lock").read_text(encoding="utf-8")
TRITON_LOCK = (CHECKOUT / "lab/build/triton/requirements.lock").read_text(encoding="utf-8")
SERVER_LOCK = (CHECKOUT / "lab/build/triton/server.lock").read_text(encoding="utf-8")


def test_every_part_is_in_one_lane_after_what_it_needs() -> None:
    order = [name for lane in parts.LANES for name in lane]
    assert sorted(order) == sorted(set(parts.PARTS) - parts.ON_DEMAND)
    for lane in parts.LANES:
        for place, name in enumerate(lane):
            assert set(parts.PARTS[name].needs) <= set(lane[:place])


def test_every_section_a_part_names_is_in_the_versions_file() -> None:
    for part in parts.PARTS.values():
        assert set(part.sections) <= set(parts.versions()), part.name


def test_an_unknown_part_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BuildError, match="base-image"):
        parts.path("nothing")


@pytest.mark.parametrize("text", [LOCK, TRITON_LOCK])
def test_the_engine_that_serves_is_the_one_that_recorded(text: str) -> None:
    assert f"xllamacpp=={parts.versions()['engine']['xllamacpp']} " in text


def test_one_version_of_pulumi() -> None:
    version = parts.versions()["pulumi"]["version"]
    module = (CHECKOUT / "engines/pulumi/go.mod").read_text(encoding="utf-8")
    assert f"pulumi=={version} " in LOCK
    assert f"pulumi-vsphere=={parts.versions()['pulumi']['vsphere']} " in LOCK
    found = re.findall(r"github.com/pulumi/pulumi/(?:pkg|sdk)/v3 v(\S+)", module)
    assert set(found) == {version}


def test_one_version_of_the_server_and_the_simulator() -> None:
    versions = parts.versions()
    module = (CHECKOUT / "lab/vcenter/go.mod").read_text(encoding="utf-8")
    assert f"nvidia-pytriton=={versions['triton']['pytriton']} " in SERVER_LOCK
    assert f"github.com/vmware/govmomi {versions['vcenter']['govmomi']}\n" in module


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0 s"), (59, "59 s"), (185, "3 m 05 s")])
def test_durations_as_people_say_them(seconds: float, text: str) -> None:
    assert parts.duration(seconds) == text


def test_the_weights_that_are_fetched_are_those_of_the_versions_file() -> None:
    folder = CHECKOUT / "lab/checkpoints"
    for name, lock in (("chat", "requirements.lock"), ("gemma", "gemma.lock")):
        text = (folder / lock).read_text(encoding="utf-8")
        assert text.startswith(f"{parts.versions()['checkpoints'][name]} "), name


def test_what_no_lab_begins_with_is_built_when_asked_for() -> None:
    assert sorted(parts.ON_DEMAND) == [
        "checkpoint-child",
        "checkpoint-gemma",
        "image-etcd",
        "image-kafka",
        "image-milvus",
        "image-milvus_older",
        "image-minio",
    ]
    assert parts.PARTS["checkpoint-child"].needs == ("checkpoint-chat",)
