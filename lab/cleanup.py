"""Remove a lab: ``python3 -m lab.cleanup [--instance DIR]``. Standard library only.

Works from files, control groups, links, nftables and the mount table alone, so also after a
crash, half a removal, or the loss of the Python environment. Touches nothing of another lab.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from lab.instance import naming
from lab.instance.cgroups import controller_roots, instance_group
from lab.instance.waiting import wait_until
from lab.programs import end_those_working_on

CHECKOUT = Path(__file__).resolve().parents[1]
CONTROL_PATTERN = re.compile(r"permafrost-\d+-[0-9a-f]{8}")
NSPAWN_RUN = Path("/run/systemd/nspawn")


def remove(root: Path) -> Iterator[str]:
    """Remove everything of the lab in a folder; yields what was removed."""
    lab_id = root.name
    if not naming.ID_PATTERN.fullmatch(lab_id):
        raise ValueError(f"{root} is not the folder of a lab")
    at_work = end_those_working_on(root, CHECKOUT / ".venv" / "bin")
    if at_work:
        yield f"{at_work} programs that worked on it"
    yield from _processes(lab_id)
    yield from _links(lab_id)
    yield from _walls(lab_id)
    yield from _mounts(root)
    yield from _controller_groups(lab_id)
    yield from _nspawn_leftovers(lab_id)
    yield from _shared_connections(root / "state" / "ssh" / "control")
    if root.exists():
        _remove_tree(root)
        yield f"folder {root}"
    with suppress(OSError):
        root.parent.rmdir()


def _processes(lab_id: str) -> Iterator[str]:
    group = instance_group(lab_id)
    if not group.path.exists():
        return
    count = len(group.processes())
    if not group.kill():
        raise OSError(f"{group.path} still has processes: {group.processes()}")
    if count:
        yield f"{count} processes"
    names = sorted(p.name for p in group.path.iterdir() if p.is_dir())
    # The kernel lets go of a group a moment after its last process.
    if not wait_until(group.remove, 5):
        raise OSError(f"{group.path} cannot be removed")
    yield f"control group {group.path}" + (f" ({', '.join(names)})" if names else "")
    with suppress(OSError):
        group.path.parent.rmdir()


def _controller_groups(lab_id: str) -> Iterator[str]:
    # The memory limits are ours; systemd-nspawn mirrors its group in systemd's own hierarchy.
    for root in controller_roots():
        group = root / "permafrost" / lab_id
        if not group.exists():
            continue
        if not wait_until(partial(_removed, group), 5):
            raise OSError(f"{group} cannot be removed")
        yield f"{root.name} group {group}"
        with suppress(OSError):
            group.parent.rmdir()


def _removed(group: Path) -> bool:
    for folder, _, _ in os.walk(group, topdown=False):
        with suppress(OSError):
            Path(folder).rmdir()
    return not group.exists()


def _links(lab_id: str) -> Iterator[str]:
    bridge = naming.bridge_name(lab_id)
    prefix = naming.link_prefix(lab_id)
    for name in sorted(links()):
        ours = name == bridge or name.startswith(prefix)
        if ours and _run(["ip", "link", "delete", name]):
            yield f"link {name}"


def links() -> set[str]:
    """Return the names of all links."""
    done = subprocess.run(
        ["ip", "-json", "link", "show"], capture_output=True, text=True, timeout=30, check=True
    )
    return {link["ifname"] for link in json.loads(done.stdout)}


def _walls(lab_id: str) -> Iterator[str]:
    for family, name in tables():
        ours = name == naming.table_name(lab_id)
        if ours and _run(["nft", "delete", "table", family, name]):
            yield f"nftables table {family} {name}"


def tables() -> list[tuple[str, str]]:
    """Return family and name of every nftables table."""
    done = subprocess.run(
        ["nft", "--json", "list", "tables"], capture_output=True, text=True, timeout=30, check=True
    )
    items = [i["table"] for i in json.loads(done.stdout).get("nftables", []) if "table" in i]
    return [(item["family"], item["name"]) for item in items]


def _mounts(root: Path) -> Iterator[str]:
    prefix = f"{root}/"
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    points = [line.split()[1].replace("\\040", " ") for line in mounts]
    for where in reversed([point for point in points if point.startswith(prefix)]):
        if _run(["umount", "--lazy", where]):
            yield f"mount {where}"


def _nspawn_leftovers(lab_id: str) -> Iterator[str]:
    for path in sorted(NSPAWN_RUN.glob(f"*/{naming.machine_name(lab_id, '*')}")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        yield f"{path}"


def _shared_connections(control: Path) -> Iterator[str]:
    """End what SSH keeps open to nodes and remove the sockets, which lie outside the lab."""
    if not control.is_symlink() or not CONTROL_PATTERN.fullmatch(control.readlink().name):
        return
    folder = control.readlink()
    for socket in sorted(folder.glob("*")):
        _run(["ssh", "-F", "none", "-O", "exit", "-S", str(socket), "node"])
    if folder.is_dir() and not folder.is_symlink() and folder.lstat().st_uid == os.getuid():
        shutil.rmtree(folder, ignore_errors=True)
        yield f"folder {folder}"


def _remove_tree(root: Path) -> None:
    # A guest's immutable files or a process that just ended may need a second look.
    def gone() -> bool:
        shutil.rmtree(root, ignore_errors=True)
        return not root.exists()

    if not wait_until(gone, 10):
        shutil.rmtree(root)


def _run(argv: list[str]) -> bool:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode == 0


def main(argv: list[str] | None = None) -> int:
    """Remove one lab and say what was removed."""
    parser = argparse.ArgumentParser(prog="lab.cleanup")
    parser.add_argument(
        "--instance", type=Path, help="the lab's folder (default: this checkout's)"
    )
    options = parser.parse_args(argv)
    try:
        lab_id = naming.instance_id(CHECKOUT, os.environ.get("PERMAFROST_LAB"))
        root = (options.instance or CHECKOUT / ".lab" / lab_id).absolute()
        removed = 0
        for what in remove(root):
            removed += 1
            sys.stdout.write(f"removed {what}\n")
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"LAB_CLEANUP: {error}\n")
        return 4
    if not removed:
        sys.stdout.write(f"nothing of {root} was left\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
