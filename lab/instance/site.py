"""The site file of a lab: ``sites/lab.yaml`` with the lab's own addresses and digests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template

import yaml

from lab.errors import LabError
from lab.instance.model import Instance
from lab.instance.secrets import ensure_password, write_private
from lab.instance.template import STANDARD, text_of

FIRST_HOST, LAST_HOST = 20, 99
VIP_HOST = 10
REGISTRY_VM_HOST = 100


def values(instance: Instance, digests: Mapping[str, str]) -> dict[str, str]:
    """Return what the template asks for; ``digests`` are pins and folders by placeholder."""
    base = instance.network.network_address
    return {
        "vcenter_server": f"{instance.gateway}:{instance.allocation.vcenter_port}",
        "subnet": str(instance.network),
        "gateway": instance.gateway,
        "vip": str(base + VIP_HOST),
        "first_address": str(base + FIRST_HOST),
        "last_address": str(base + LAST_HOST),
        "registry_address": instance.registry_address,
        "registry_vm_address": str(base + REGISTRY_VM_HOST),
        "packages_url": instance.packages_url,
        **digests,
    }


def hosts_of(template: Path) -> dict[str, str]:
    """Return the hosts that a template names, with their racks; none where it names none.

    A site file says of its hosts only what vCenter cannot know; the lab's vCenter is made so that
    it has these. Raises LabError for a template that is no YAML document.
    """
    try:
        hosts = (yaml.safe_load(text_of(template)) or {}).get("hosts") or {}
        return {str(name): str((said or {}).get("rack", "")) for name, said in hosts.items()}
    except (yaml.YAMLError, AttributeError) as error:
        raise LabError(
            "SITE_TEMPLATE",
            f"{template}: {error}",
            "it must be YAML, with `hosts` as names and labels",
        ) from error


def render(instance: Instance, digests: Mapping[str, str], template: Path = STANDARD) -> bool:
    """Write the lab's site file and the passphrase it names; True when the file changed."""
    ensure_password(instance.root / "pulumi-passphrase")
    try:
        text = Template(text_of(template)).substitute(values(instance, digests))
    except (KeyError, ValueError) as error:
        raise LabError(
            "SITE_TEMPLATE",
            f"{template}: unknown placeholder {error}",
            "correct it: templates/ has one that works",
        ) from error
    if instance.site_file.exists() and instance.site_file.read_text() == text:
        return False
    write_private(instance.site_file, text, 0o644)
    return True
