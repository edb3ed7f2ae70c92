"""Debian root filesystems, from the mirror that this machine's own apt uses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from lab.build.model import Build
from lab.build.problem import BuildError

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_FORMAT = "$(CREATED_BY)|$(REPO_URI)|$(COMPONENT)|$(CODENAME)|$(LABEL)"


def parse_mirror(targets: str) -> str | None:
    """Return the Debian mirror among apt's index targets: the one with the main archive."""
    for line in targets.splitlines():
        created_by, _, rest = line.partition("|")
        uri, component, codename, label = (rest.split("|") + [""] * 4)[:4]
        plain = codename.isalpha()  # not -updates, -security, -backports
        if created_by == "Packages" and component == "main" and plain and label != "Debian-Security":
            if label in ("Debian", ""):
                return uri.rstrip("/") + "/"
    return None


def mirror(build: Build) -> str:
    """Return the Debian mirror that apt on this machine is configured with."""
    found = parse_mirror(build.output(["apt-get", "indextargets", "--format", _FORMAT]))
    if found is None:
        raise BuildError(
            "MIRROR_UNKNOWN", "apt names no Debian mirror", "check apt's sources on this machine"
        )
    return found


def root_filesystem(
    build: Build,
    suite: str,
    target: Path,
    *,
    variant: str,
    packages: Iterable[str],
    options: Sequence[str] = (),
) -> None:
    """Make a root filesystem without documentation and translations, and clean it."""
    excludes = [
        "path-exclude=/usr/share/man/*",
        "path-exclude=/usr/share/doc/*",
        "path-exclude=/usr/share/locale/*",
        "path-exclude=/usr/share/info/*",
        "path-include=/usr/share/doc/*/copyright",
    ]
    build.run(
        [
            "mmdebstrap",
            "--mode=root",
            f"--variant={variant}",
            f"--include={','.join(packages)}",
            '--aptopt=APT::Install-Recommends "false"',
            "--dpkgopt=force-unsafe-io",
            *(f"--dpkgopt={line}" for line in excludes),
            f"--keyring={KEYRING}",
            *options,
            suite,
            str(target),
            mirror(build),
        ],
        timeout_s=1500,
    )
