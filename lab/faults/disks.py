"""Faults of a machine's files: a disk without room, a byte that changed.

A disk that is full: the folder is covered by an overlay whose upper side is a tiny file system
without a free block. What is there can be read and removed, whatever is written gets ENOSPC. Files
that a process holds open keep the room they had. What was changed meanwhile goes with the cover.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import PurePosixPath

from lab.errors import LabError
from lab.faults import targets
from lab.faults.model import Options, Undo, number
from lab.hypervisor.machine import Machine
from lab.instance.model import Instance
from lab.instance.naming import short_hash

COVERS = "/run/permafrost-lab-full"
SIZE_KIB = 64
_FILL = """set -eu
folder=$1 cover=$2 size=$3
if mountpoint -q "$cover" && [ -e "$cover/covered" ]; then exit 0; fi
grep -q "^permafrost-full $folder overlay" /proc/mounts && umount -l "$folder"
mountpoint -q "$cover" && umount -l "$cover"
mkdir -p "$cover"
mount -t tmpfs -o "size=${size}k,mode=0755" permafrost-full "$cover"
mkdir "$cover/upper" "$cover/work"
chown --reference="$folder" "$cover/upper"
chmod --reference="$folder" "$cover/upper"
mount -t overlay permafrost-full -o \
  "lowerdir=$folder,upperdir=$cover/upper,workdir=$cover/work" "$folder"
: > "$cover/covered"
dd if=/dev/zero of="$cover/ballast" bs=4k 2>/dev/null || :
"""
_CLEAR = """folder=$1 cover=$2
while grep -q "^permafrost-full $folder overlay" /proc/mounts; do
  umount -l "$folder" || exit 1
done
while mountpoint -q "$cover"; do umount -l "$cover" || exit 1; done
rmdir "$cover" 2>/dev/null || :
"""
# Prints size and the byte at an offset; with two more arguments puts one byte in place of another.
_BYTE = """import json, os, sys
path, offset = sys.argv[1], int(sys.argv[2])
before = os.stat(path)
with open(path, "r+b" if len(sys.argv) > 3 else "rb", buffering=0) as file:
    file.seek(offset)
    found = file.read(1)
    if len(sys.argv) > 3 and found and found[0] == int(sys.argv[3]):
        file.seek(offset)
        file.write(bytes([int(sys.argv[4])]))
        os.fsync(file.fileno())
if len(sys.argv) > 3:
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
print(json.dumps({"size": before.st_size, "byte": found[0] if found else None}))
"""


def prepare_full(instance: Instance, target: str, options: Options) -> dict[str, str]:
    """Check that the machine has the folder, and that it is not the whole system."""
    node = targets.running_machine(instance, target)
    path = options["path"].rstrip("/")
    if not path.startswith("/") or ".." in PurePosixPath(path).parts or path in _SYSTEM:
        raise LabError(
            "FAULT_OPTION_INVALID",
            f"path={options['path']} must be a folder below /",
            f"not one of {', '.join(sorted(_SYSTEM - {''}))}",
        )
    with suppress(LabError):
        targets.inside(node, "test", "-d", path)
        return {"path": path, "cover": f"{COVERS}-{short_hash(path)}"}
    raise LabError(
        "FOLDER_UNKNOWN", f"{target} has no folder {path}", "name a folder that is there"
    )


_SYSTEM = frozenset({"", "/dev", "/proc", "/run", "/sys", "/usr"})


def fill(instance: Instance, target: str, undo: Undo) -> None:
    """Leave the folder without room."""
    node = targets.running_machine(instance, target)
    _shell(node, _FILL, undo["path"], undo["cover"], str(SIZE_KIB))


def clear(instance: Instance, target: str, undo: Undo) -> None:
    """Give the folder its room back; a machine that was power-cycled has it already."""
    node = Machine(instance, target)
    if node.is_on:
        _shell(node, _CLEAR, undo["path"], undo["cover"])


def _shell(node: Machine, script: str, *arguments: str) -> None:
    targets.inside(node, "/bin/sh", "-c", script, "full", *arguments)


def prepare_corrupt(instance: Instance, target: str, options: Options) -> dict[str, str]:
    """Read the byte that will change, so that it can be put back."""
    name, _, path = target.partition(":")
    if not path.startswith("/"):
        raise LabError(
            "TARGET_INVALID",
            f"{target!r} is not machine:/path",
            "for example lab-chat-01:/etc/fstab",
        )
    node = targets.running_machine(instance, name)
    seen = _byte(node, path, 0)
    size = int(seen["size"])
    if size == 0:
        raise LabError(
            "FILE_IS_EMPTY",
            f"{path} of {name} has no byte to change",
            "name a file that holds something",
        )
    middle = options["offset"] == "middle"
    offset = size // 2 if middle else int(number(options, "offset", 0, size - 1))
    was = _byte(node, path, offset)["byte"]
    return {"machine": name, "path": path, "offset": str(offset), "was": str(was)}


def corrupt(instance: Instance, target: str, undo: Undo) -> None:
    """Flip the lowest bit of the byte; size and times stay."""
    del target
    node = targets.running_machine(instance, undo["machine"])
    was = int(undo["was"])
    _byte(node, undo["path"], int(undo["offset"]), was, was ^ 1)


def repair(instance: Instance, target: str, undo: Undo) -> None:
    """Put the byte back, unless the file has been replaced by another."""
    del target
    if not Machine(instance, undo["machine"]).folder.exists():
        return  # destroyed, and its files with it
    node = targets.running_machine(instance, undo["machine"])
    was = int(undo["was"])
    with suppress(LabError):
        _byte(node, undo["path"], int(undo["offset"]), was ^ 1, was)


def _byte(node: Machine, path: str, offset: int, *change: int) -> dict[str, int]:
    argv = ("python3", "-I", "-c", _BYTE, path, str(offset), *map(str, change))
    try:
        found: dict[str, int] = json.loads(targets.inside(node, *argv))
    except LabError as error:
        raise LabError(
            "FILE_UNREADABLE",
            f"{node.name}:{path}: {error.problems[0].message}",
            "name a file that is there",
        ) from error
    return found
