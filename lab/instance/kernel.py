"""Limits of the one kernel that all machines share: raised where they are too low, never lowered.

Every guest runs as the same root user here, so what the kernel counts for a user is used up by all
guests of all labs together: with the default of 128 inotify instances the fifth or sixth lab's
systemd ends at boot ("Failed to create control group inotify object: Too many open files").
"""

from __future__ import annotations

from pathlib import Path

from lab.errors import LabError

SYSCTLS = Path("/proc/sys")
# A guest takes about 15 instances and some hundred watches; this is room for a hundred guests.
AT_LEAST = {"fs/inotify/max_user_instances": 4096, "fs/inotify/max_user_watches": 524288}


def ensure_limits(sysctls: Path = SYSCTLS) -> None:
    """Raise what is too low. Raises LabError (KERNEL_LIMIT) where this machine forbids it."""
    for name, least in AT_LEAST.items():
        limit = sysctls / name
        now = int(limit.read_text(encoding="ascii"))
        if now >= least:
            continue
        try:
            limit.write_text(f"{least}\n", encoding="ascii")
        except OSError as error:
            dotted = name.replace("/", ".")
            raise LabError(
                "KERNEL_LIMIT",
                f"{dotted} is {now}, machines need {least}, and it cannot be raised: {error}",
                f"as root of the machine itself: sysctl -w {dotted}={least}",
            ) from error
