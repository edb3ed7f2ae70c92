"""The front door for each kind of lab: what it builds, demands, says, and does not take."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab.front.closing import found_right, guide
from lab.front.up import build_command
from lab.instance.template import STANDARD

ROOT = Path(__file__).resolve().parents[3]
SITE = ".lab/abc123/site.yaml"


def endpoint(name: str, replicas: int) -> dict[str, Any]:
    return {"name": name, "replicas": [{"name": f"lab-{name}-0{i + 1}"} for i in range(replicas)]}


def tier(*counts: tuple[int, int]) -> dict[str, Any]:
    """A tier whose proxies were asked so much and found so much right."""
    proxies = [
        {"member": f"lab-knowledge-0{i}", "canaries": {"asked": asked, "right": right}}
        for i, (asked, right) in enumerate(counts, 1)
    ]
    return {"address": "10.64.1.10:19530", "proxies": proxies}


def test_the_standard_lab_is_told_by_its_first_endpoint_and_without_a_tier() -> None:
    told = guide(
        SITE, {"endpoints": [endpoint("chat", 3), endpoint("pulse", 3)], "knowledge": None}
    )
    assert f"export PERMAFROST_SITE={SITE}\n" in told
    assert 'permafrost ask chat "' in told
    assert "permafrost drain lab-chat-02 --yes" in told
    assert "pulse" not in told
    assert "Milvus" not in told


def test_a_lab_with_a_tier_is_told_by_what_it_has() -> None:
    told = guide(SITE, {"endpoints": [endpoint("pulse", 2)], "knowledge": tier((16, 16))})
    assert 'permafrost ask pulse "' in told
    assert "permafrost drain lab-pulse-02 --yes" in told
    assert "chat" not in told
    assert "https://10.64.1.10:19530" in told
    assert ".lab/abc123/state/pki/ca.pem" in told
    assert ".lab/abc123/users/" in told


def test_a_site_without_endpoints_is_asked_nothing() -> None:
    told = guide(SITE, {"endpoints": [], "knowledge": tier((16, 16))})
    assert "permafrost ask" not in told
    assert "make down" in told


def test_each_proxy_is_told_with_what_it_found() -> None:
    first, second = found_right(tier((16, 16), (16, 16)))
    assert first.endswith("lab-knowledge-01: 16 of 16 known answers right")
    assert second.endswith("lab-knowledge-02: 16 of 16 known answers right")


@pytest.mark.parametrize("counts", [[(16, 16), (16, 15)], [(0, 0)], []])
def test_a_tier_that_answers_wrong_or_was_not_asked_is_not_verified(
    counts: list[tuple[int, int]],
) -> None:
    with pytest.raises(ValueError, match="proxy"):
        found_right(tier(*counts))


def test_what_a_kind_of_lab_is_made_of_is_built_with_what_every_lab_has() -> None:
    assert not [word for word in build_command(STANDARD) if word.startswith("--with")]
    more = build_command(STANDARD.with_name("lab-knowledge.yaml"))
    assert [word for word in more if word.startswith("--with")] == [
        f"--with=image-{name}" for name in ("etcd", "kafka", "milvus", "minio")
    ]


def test_the_builder_adds_a_part_to_those_of_every_lab() -> None:
    def listed(*more: str) -> list[str]:
        argv = ["/usr/bin/python3", "-m", "lab.build", "--list", *more]
        done = subprocess.run(
            argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        )
        return [line.split()[0] for line in done.stdout.splitlines()]

    assert listed("--with=image-etcd") == [*listed(), "image-etcd"]


def test_an_unknown_file_is_one_error_before_anything_is_built() -> None:
    argv = ["/usr/bin/python3", "-m", "lab.front", "up", "--like", "sites/none.yaml"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("make up: SITE_TEMPLATE: ")
    assert "sites/lab-knowledge.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_make_hands_the_kind_on() -> None:
    def told(*words: str) -> str:
        argv = ["make", "--dry-run", "up", *words]
        done = subprocess.run(
            argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    assert '--like "sites/lab.yaml"' in told()
    assert '--like "sites/other.yaml"' in told("LIKE=sites/other.yaml")
