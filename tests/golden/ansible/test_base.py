"""Who may log in at first boot, and that swap stays off: word for word."""

from __future__ import annotations

import base64
from typing import Any

import yaml

from infra.components.seed import seed_of
from permafrost.topology import nodes
from tests.golden.ansible.rendering import TEMPLATES, golden_site
from tests.golden.ansible.test_templates import _compare

CONFIGURE = TEMPLATES.parent / "playbooks/roles/base/tasks/configure.yml"


def test_the_only_user_has_a_key_and_no_password() -> None:
    site = golden_site("oslo")
    seed = seed_of(site, nodes(site)[0], "ssh-ed25519 AAAA operator")
    text = base64.b64decode(seed["guestinfo.userdata"]).decode()
    _compare("userdata.yaml", text)
    (user,) = yaml.safe_load(text)["users"]
    assert user["lock_passwd"] is True
    assert user["ssh_authorized_keys"] == ["ssh-ed25519 AAAA operator"]


def test_swap_is_off_now_and_after_a_boot() -> None:
    tasks: list[dict[str, Any]] = yaml.safe_load(CONFIGURE.read_text())
    kept = {t["name"]: t for t in tasks if "swap" in t["name"]}
    _compare("base-swap.yaml", yaml.safe_dump(kept, sort_keys=True))
    masked = kept["Keep swap off after a boot"]["ansible.builtin.file"]
    assert (masked["src"], masked["dest"]) == ("/dev/null", "/etc/systemd/system/swap.target")
