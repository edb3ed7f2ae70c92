"""What is run where only a certificate is renewed: its tasks, and none that touches a slot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from permafrost.adapters.ansible.converger import CERTIFICATE_TASKS
from tests.golden.ansible.rendering import ROLES

PLAYBOOKS = ROLES.parent
CHECKED = "Validating arguments against arg spec"
"""Changes nothing."""


def listed(*options: str) -> list[str]:
    """Return the tasks that Ansible would run of an inference node's play, role before name."""
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "--list-tasks", *options]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(PLAYBOOKS / "ansible.cfg")}
    said = subprocess.run(
        [*command, "inference.yml"],
        cwd=PLAYBOOKS,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    found = [line.partition("TAGS:")[0].strip() for line in said.splitlines() if " : " in line]
    return [task for task in found if CHECKED not in task]


def test_they_write_folder_authority_and_certificate() -> None:
    assert listed("--tags", CERTIFICATE_TASKS) == [
        "haproxy : Create the folder of the certificates",
        "haproxy : Write the site's authority",
        "haproxy : Write the server certificate and its key",
    ]


def test_control_all_of_them_write_what_slots_hold() -> None:
    assert "node_haproxy : Write which checkpoint each slot answers with" in listed()
