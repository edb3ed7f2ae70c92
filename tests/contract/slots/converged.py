"""The files of a node's two slots as the roles write them: their own tasks, run by Ansible.

Run on this machine, in a folder; what lies elsewhere on a node (units, folders in memory) is left
out, and so are the services that would be started anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from permafrost import topology
from permafrost.adapters.ansible.variables import host_variables
from permafrost.planning.release import Release
from tests.golden.ansible.rendering import PUBLIC, ROLES, ROOT, SECRET, golden_site

NODE = "oslo-pulse-01"
ON_NODES = "/var/lib/permafrost/slots"


def converge(folder: Path, releases: Mapping[str, Release]) -> None:
    """Write the slots of one node for each release, into ``folder``/its name/slots."""
    hosts = {name: _variables(release, folder / name) for name, release in releases.items()}
    inventory = folder / "inventory.yaml"
    inventory.write_text(json.dumps({"all": {"hosts": hosts}}))
    play = {"hosts": "all", "gather_facts": False, "tasks": [*_checks(), *_tasks()]}
    book = folder / "play.yaml"
    book.write_text(json.dumps([play]))
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "playbooks/ansible.cfg"),
        "ANSIBLE_FORKS": str(len(hosts)),
        "HOME": str(folder),
    }
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", inventory, book],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def files(slots: Path) -> dict[str, tuple[int, bytes]]:
    """Return what a convergence would compare: of each file and folder its mode and its bytes."""
    return {
        str(path.relative_to(slots)): (
            path.stat().st_mode,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in slots.rglob("*")
        if not path.is_symlink()  # what is mounted is the node's own to say
    }


def _variables(release: Release, folder: Path) -> dict[str, Any]:
    site = golden_site("oslo")
    node = {n.name: n for n in topology.nodes(site)}[NODE]
    told = host_variables(site, node, PUBLIC, SECRET, {release.endpoint: release}).plain
    return {
        **told,
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "triton_templates": str(ROOT / "templates"),
        "folder": str(folder),
    }


def _tasks() -> list[dict[str, Any]]:
    """Return the tasks on what a slot loads, with another folder and owner.

    The backend's code is left out: it is the same in both slots, whatever they load.
    """
    text = (ROLES / "triton/tasks/configure.yml").read_text()
    text = text.replace(ON_NODES, "{{ folder }}/slots")
    text = text.replace("owner: root", f'owner: "{os.getuid()}"')
    text = text.replace("group: root", f'group: "{os.getgid()}"')
    tasks: list[dict[str, Any]] = yaml.safe_load(text)
    return [
        {key: value for key, value in task.items() if key != "notify"}
        for task in tasks
        if "{{ folder }}/slots" in json.dumps(task) and "item.1" not in json.dumps(task)
    ]


def _checks() -> list[dict[str, Any]]:
    """Return the roles' own checks of what they are told of the slots."""
    preflight = (ROLES / "permafrost_node/tasks/preflight.yml").read_text()
    found: list[dict[str, Any]] = [
        {**task, "run_once": True} for task in yaml.safe_load(preflight)
    ]
    for role in ("triton", "permafrost_node", "node_haproxy"):
        specs = yaml.safe_load((ROLES / role / "meta/argument_specs.yml").read_text())
        name = f"{role}_slots"
        found.append(
            {
                "name": f"Check {name}",
                "run_once": True,
                "ansible.builtin.validate_argument_spec": {
                    "argument_spec": {name: specs["argument_specs"]["main"]["options"][name]},
                    "provided_arguments": {name: "{{ " + name + " }}"},
                },
            }
        )
    return found
