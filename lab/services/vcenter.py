"""The lab's vCenter: its configuration, certificate, password and process."""

from __future__ import annotations

import filecmp
import json
import shutil
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from lab.instance.authority import ensure_authority, ensure_certificate
from lab.instance.model import CHECKOUT, Instance
from lab.instance.secrets import ensure_password, write_private
from lab.services.daemon import Daemon

USER = "administrator@vsphere.local"
HOSTS = {"lab-esx-01": "", "lab-esx-02": "", "lab-esx-03": ""}
"""The hosts of a lab whose site file names none, and the rack of each: none."""
GPU_ADDRESSES = ("0000:3b:00.0", "0000:d8:00.0")
_HELLO = """<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body>
<RetrieveServiceContent xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this>
</RetrieveServiceContent></Body></Envelope>"""


def ensure(instance: Instance, program: Path, hosts: Mapping[str, str] = HOSTS) -> None:
    """Configure and start the vCenter; nothing changes where it runs. ``hosts``: with racks."""
    configure(instance, hosts)
    daemon(instance, keep(instance, program)).ensure()


def keep(instance: Instance, program: Path) -> Path:
    """Return the lab's own copy of the program, made where it differs.

    The cache of builds keeps the last two: a lab that ran on while others were built must still
    be able to start its vCenter again.
    """
    kept = instance.vcenter_dir / "labvcenter"
    if not kept.exists() or not filecmp.cmp(program, kept, shallow=False):
        part = kept.with_suffix(".part")
        shutil.copy(program, part)
        part.replace(kept)
    return kept


def hosts_of(instance: Instance) -> tuple[str, ...]:
    """Return the names of the hosts that a lab's vCenter was configured with."""
    try:
        found = json.loads((instance.vcenter_dir / "config.json").read_text())["hosts"]
    except (OSError, ValueError, KeyError):
        return tuple(HOSTS)
    return tuple(str(host["name"]) for host in found)


def configure(instance: Instance, hosts: Mapping[str, str] = HOSTS) -> None:
    """Write configuration, certificate and password where they are missing."""
    folder = instance.vcenter_dir
    authority = ensure_authority(instance.ca_dir, instance.id)
    certificate, key = ensure_certificate(authority, folder, instance.gateway)
    ensure_password(folder / "password")
    write_private(
        folder / "config.json",
        json.dumps(configuration(instance, certificate, key, hosts), indent=2) + "\n",
    )


def configuration(
    instance: Instance, certificate: Path, key: Path, hosts: Mapping[str, str]
) -> dict[str, Any]:
    """Return what the vCenter has to show: hosts in their racks, with two GPUs each."""
    gpus = [
        {
            "id": address,
            "vendor": "10de",
            "device": "2330",
            "class": "0302",
            "name": "GH100 [H100 SXM5 80GB]",
        }
        for address in GPU_ADDRESSES
    ]
    hook = [sys.executable, "-m", "lab.hypervisor", "--instance", str(instance.root)]
    return {
        "listen": f"{instance.gateway}:{instance.allocation.vcenter_port}",
        "user": USER,
        "password_file": str(instance.vcenter_dir / "password"),
        "cert_file": str(certificate),
        "key_file": str(key),
        "state_dir": str(instance.vcenter_dir / "state"),
        "hook": hook,
        "cgroup_root": str(instance.group.path),
        "datacenter": "dc1",
        "cluster": "gpu-cluster",
        "datastore": "datastore1",
        "network": "site-network",
        "hosts": [
            {"name": name, "cpus": 64, "memory_gib": 512, "gpus": gpus}
            | ({"rack": rack} if rack else {})
            for name, rack in hosts.items()
        ],
        "template": {
            "name": "debian-13",
            "disk_gib": 20,
            "guest_id": "debian12_64Guest",
            "hardware_version": "vmx-21",
            "firmware": "efi",
        },
    }


def daemon(instance: Instance, program: Path) -> Daemon:
    """Return the vCenter's process."""
    folder = instance.vcenter_dir
    trust = instance.ca_dir / "ca.pem"

    def ready() -> bool:
        try:
            context = ssl.create_default_context(cafile=str(trust))
            answer = httpx.post(
                f"{instance.vcenter_url}/sdk",
                content=_HELLO,
                headers={"Content-Type": "text/xml"},
                verify=context,
                timeout=10,
                trust_env=False,
            )
        except (httpx.HTTPError, OSError):
            return False
        return answer.status_code == httpx.codes.OK and "sessionManager" in answer.text

    return Daemon(
        instance,
        "vcenter",
        argv=[str(program), "-config", str(folder / "config.json")],
        ready=ready,
        inputs=[program, folder / "config.json", folder / "cert.pem", folder / "password"],
        env={"PYTHONPATH": str(CHECKOUT)},
    )
