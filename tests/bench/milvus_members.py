"""Milvus' own defaults on the members of a deployed tier, and how they are taken back.

On each member: its settings, its units and the kernel's patience with lost peers; our watch is
off, and so is what tells proxies when to ask anew. What was there is kept on the member's disk,
so that it outlives a restart of the VM. It comes back after the block however that ends;
``guard`` sees to it where this process is killed; where the whole computer went meanwhile,
``python -m tests.bench.knowledge_gaps --restore`` does it, or ``permafrost converge MEMBER --yes``
on each member, which writes each of these files whole. A deployment alone does not: it looks into
no machine whose inputs are what they were.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import yaml

from lab.errors import LabError
from tests.bench.endings import undisturbed
from tests.bench.milvus_defaults import (
    ETCD,
    MARK,
    by_default,
    kernel_by_default,
    reader,
    settings_file,
    tuned,
    tuned_beside,
    unit_by_default,
)

SETTINGS = "/etc/permafrost/milvus/milvus.yaml"
SYSCTLS = "/etc/sysctl.d/61-permafrost-lost-peers.conf"
UNITS = "/etc/containers/systemd"
WATCH = "permafrost-knowledge-watch.service"
LEADERS = "permafrost-knowledge-leaders.service"
LEADERS_FILE = f"/etc/systemd/system/{LEADERS}"
"""Not there with a version of Milvus whose proxies find out by themselves."""
KEPT = "/var/lib/permafrost-bench"
IS_OURS = f"grep -qxF {shlex.quote(MARK)}"
RELOAD = "systemctl restart systemd-sysctl.service; systemctl daemon-reload"
NOT_RESTORED = (
    "not restored: `permafrost deploy` where a machine is off, then "
    "`python -m tests.bench.knowledge_gaps --restore`: "
)


@dataclass(frozen=True)
class Member:
    """A member: how a script runs there (with its input), and the units of Milvus that it has."""

    name: str
    sh: Callable[[str, str | None], str]
    units: tuple[str, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """What is written: settings, the kernel's, and each unit."""
        return SETTINGS, SYSCTLS, *(unit_file(unit) for unit in self.units)


def unit_file(unit: str) -> str:
    """Return where a unit of Milvus is described."""
    return f"{UNITS}/{unit}.container"


def keep_script(files: Collection[str]) -> str:
    """Return the script that keeps files as they are, but for those that the bench wrote."""
    names = " ".join(files)
    return (
        f"mkdir -p -m 0700 {KEPT}; for f in {names}; do "
        f"{IS_OURS} $f || {{ mkdir -p {KEPT}${{f%/*}}; cp -p $f {KEPT}$f; }}; done"
    )


def place_script(file: str) -> str:
    """Return the script that puts its input in a file's place at once, with its rights."""
    return f"f={file}; cp -p $f $f.bench; cat > $f.bench; mv $f.bench $f"


def anew_script(units: Collection[str]) -> str:
    """Return the script that starts processes anew at once: what they would hand over stays."""
    names = " ".join(f"{unit}.service" for unit in units)
    return f"systemctl kill --signal=SIGKILL {names} || true; systemctl start --no-block {names}"


def ours_off_script() -> str:
    """Return the script that ends what of ours would act on Milvus."""
    return (
        f"systemctl disable --quiet --now {WATCH}; "
        f"[ ! -e {LEADERS_FILE} ] || systemctl disable --quiet --now {LEADERS}"
    )


def ours_on_script(units: Collection[str]) -> str:
    """Return the script that takes it back; for proxies where one waits for it."""
    files = " ".join(unit_file(unit) for unit in units)
    return (
        f"systemctl enable --quiet --now {WATCH}; "
        f"! grep -qs {LEADERS.removesuffix('.service')} {files} || "
        f"systemctl enable --quiet --now {LEADERS}"
    )


def restore_script(units: Collection[str]) -> str:
    """Return the script that brings everything back; where nothing is kept it does nothing.

    What was written since by somebody else stays. What is kept goes last: broken off before, it is
    all done again.
    """
    return (
        f"[ -d {KEPT} ] || exit 0; "
        f"find {KEPT} -type f | while read -r k; do f=${{k#{KEPT}}}; rm -f $f.bench; "
        f"if [ -e $f ] && {IS_OURS} $f; then cp -p $k $f.bench; mv $f.bench $f; fi; done; "
        f"{RELOAD}; {anew_script(units)}; {ours_on_script(units)}; rm -r {KEPT}"
    )


def install(member: Member, etcd: str, environment: Collection[str]) -> dict[str, Any]:
    """Write the defaults on a member; return what was tuned there, with both values.

    Nothing is started anew yet. ``environment``: names of what our units set for Milvus.
    """
    member.sh(keep_script(member.files), None)
    units = {unit: member.sh(f"cat {unit_file(unit)}", None) for unit in member.units}
    command = shlex.join(reader(next(iter(units.values()))))
    shipped = yaml.safe_load(member.sh(command, None))
    deployed = yaml.safe_load(member.sh(f"cat {SETTINGS}", None))
    sysctls = member.sh(f"cat {SYSCTLS}", None)
    texts = {
        SETTINGS: settings_file(by_default(shipped, deployed, etcd)),
        SYSCTLS: kernel_by_default(sysctls),
        **{unit_file(u): unit_by_default(text, environment) for u, text in units.items()},
    }
    for file, text in texts.items():
        member.sh(place_script(file), text)
    member.sh(f"{ours_off_script()}; {RELOAD}", None)
    return {
        **tuned(shipped, deployed),
        ETCD: (etcd, deployed["etcd"]["endpoints"]),
        **{k: v for u in units.values() for k, v in tuned_beside(u, environment, sysctls).items()},
        "our watch": ("off", "on"),
    }


@contextmanager
def defaults_on(
    members: Collection[Member], etcd: str, environment: Collection[str]
) -> Iterator[dict[str, Any]]:
    """Run Milvus by its own defaults for a block; yield what was tuned, with both values."""
    found: dict[str, Any] = {}
    try:
        for member in members:
            found |= install(member, etcd, environment)
        for member in members:
            member.sh(anew_script(member.units), None)
        yield found
    finally:
        with undisturbed():
            restore(members)


def restore(members: Collection[Member]) -> None:
    """Bring every member back; what cannot be brought back is told at the end."""
    failed = []
    for member in members:
        try:
            member.sh(restore_script(member.units), None)
        except LabError as error:
            failed.append(f"{member.name}: {error}")
    if failed:
        raise RuntimeError(NOT_RESTORED + "; ".join(failed))
