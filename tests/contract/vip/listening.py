"""The role's tasks about packets to the clients' address, on a kernel's network of their own.

Run by ``test_listening.py`` in namespaces of its own, with the folder to work in; prints JSON.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.contract.vip.edges import EDGES
from tests.contract.vip.machines import sh
from tests.golden.ansible.rendering import ROLES, ROOT, render, variables

PLACES = {
    "/etc/sysctl.d/61-permafrost-vip.conf": "keepalived/sysctl.conf.j2",
    "/usr/local/sbin/permafrost-vip": "keepalived/permafrost-vip.j2",
}
RECAP = re.compile(r"^n\s+:.*changed=(\d+).*failed=(\d+)", re.MULTILINE)
FIRST, SECOND = "10.20.0.10/24", "10.20.0.11/24"


def install(vip: str) -> None:
    """Put the role's files where they belong, in folders that are this namespace's own."""
    for place, template in PLACES.items():
        text = render(template, EDGES[0], keepalived_vip=vip)
        Path(place).write_text(text, encoding="utf-8")
        Path(place).chmod(0o755)


def converge(folder: Path, vip: str) -> int:
    """Run the tasks; return how many changed something."""
    told = {**variables(EDGES[0]).plain, "keepalived_vip": vip}
    host = {**told, "ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    play = {
        "hosts": "n",
        "gather_facts": False,
        "tasks": [{"import_tasks": str(ROLES / "keepalived/tasks/listen.yml")}],
    }
    inventory, book = folder / "inventory.yaml", folder / "play.yaml"
    inventory.write_text(json.dumps({"all": {"hosts": {"n": host}}}))
    book.write_text(json.dumps([play]))
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", inventory, book],
        env={
            "ANSIBLE_CONFIG": str(ROOT / "playbooks/ansible.cfg"),
            "HOME": str(folder),
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
        },
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    recap = RECAP.search(done.stdout)
    assert recap, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.returncode == 0, done.stdout[-3000:]
    return int(recap[1])


def taken() -> dict[str, Any]:
    """Return to which addresses packets are taken, and who answers ARP."""
    routes = sh("ip", "-4", "route", "show", "table", "local", "proto", "86")
    told = Path("/proc/sys/net/ipv4/conf/all/arp_ignore").read_text().strip()
    return {"addresses": re.findall(r"local (\S+)", routes), "arp_ignore": told}


def main() -> None:
    """Converge anew, again, after a run that told nobody, and with another address."""
    folder = Path(sys.argv[1])
    sh("ip", "link", "set", "lo", "up")
    for place in {str(Path(p).parent) for p in PLACES}:
        sh("mount", "-t", "tmpfs", "tmpfs", place)
    install(FIRST)
    seen = [{"changed": converge(folder, FIRST), **taken()}]
    seen.append({"changed": converge(folder, FIRST), **taken()})
    # Its files are as they are to be, and what was to follow from them never happened.
    sh("ip", "route", "flush", "table", "local", "proto", "86")
    sh("sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=0")
    seen.append({"changed": converge(folder, FIRST), **taken()})
    install(SECOND)
    seen.append({"changed": converge(folder, SECOND), **taken()})
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main()
