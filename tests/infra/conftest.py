"""A small site, and Pulumi's mocks in place of the engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

DIGEST = "sha256:" + "a" * 64
IMAGE = "sha256:" + "b" * 64


def site_document() -> dict[str, Any]:
    endpoint = {
        "model": f"checkpoints/pulse@{DIGEST}",
        "backend": "pulse",
        "image": f"images/triton@{IMAGE}",
        "replicas": 2,
        "min_ready": 1,
        "port": 8444,
        "gpu": {"mode": "passthrough", "vendor_device": "10de:2330", "mmio_gib": 512},
        "vm": {"cpus": 2, "memory_mib": 4096, "disk_gib": 30},
    }
    return {
        "schema": 1,
        "site": "tiny",
        "environment": "lab",
        "vcenter": {
            "server": "10.9.8.1:8989",
            "user": "someone@vsphere.local",
            "password_file": "vcenter-password",
            "ca_file": "ca.pem",
            "datacenter": "dc1",
            "cluster": "gpu-cluster",
            "datastore": "datastore1",
            "network": "site-network",
            "template": "debian-13",
        },
        "network": {
            "subnet": "10.9.8.0/24",
            "gateway": "10.9.8.1",
            "addresses": "10.9.8.20-10.9.8.40",
        },
        "inference": {"pulse": endpoint},
        "registry": {
            "url": "oci://10.9.8.1:5000",
            "username": "nodes",
            "password_file": "registry-password",
            "ca_file": "ca.pem",
        },
        "packages": {"url": "http://10.9.8.1:8081", "key_file": "packages.asc"},
        "control": {
            "state_dir": "state",
            "pulumi_stack": "lab",
            "passphrase_file": "passphrase",
        },
    }


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    for name in ("vcenter-password", "registry-password", "passphrase", "packages.asc"):
        (tmp_path / name).write_text("not-a-secret\n")
        (tmp_path / name).chmod(0o600)
    (tmp_path / "ca.pem").write_text("an authority\n")
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump(site_document()))
    return path
