"""Debian root filesystems, from the mirror that this machine's own apt uses."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from pathlib import Path

from lab.build.model import Build
from lab.build.problem import BuildError

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_FORMAT = "$(CREATED_BY)|$(REPO_URI)|$(COMPONENT)|$(RELEASE)|$(LABEL)"


def parse_mirror(targets: str, codename: str) -> str | None:
    """Return the Debian mirror among apt's index targets: where this release's main part lies.

    The label is known only where apt's lists are there; without them the first source of the
    right release is taken.
    """
    rows = [(line.split("|") + [""] * 5)[:5] for line in targets.splitlines()]
    found = [
        (label, uri.rstrip("/") + "/")
        for created_by, uri, component, release, label in rows
        if created_by == "Packages" and component == "main" and release in (codename, "stable")
    ]
    labelled = [uri for label, uri in found if label == "Debian"]
    unlabelled = [uri for label, uri in found if not label]
    return next(iter(labelled + unlabelled), None)


def mirror(build: Build) -> str:
    """Return the Debian mirror that apt on this machine is configured with."""
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    targets = build.output(["apt-get", "indextargets", "--format", _FORMAT])
    found = parse_mirror(targets, codename)
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
