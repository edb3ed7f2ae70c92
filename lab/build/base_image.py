"""The base image: a Debian that boots, takes its identity from cloud-init, and serves SSH.

It holds what boot and the first Ansible task need, nothing that a role installs. It has no SSH
host keys, no machine id, no name server and no package source: each machine gets its own.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from lab.build import debian
from lab.build.model import Build, Part

PACKAGES = (
    "ca-certificates",
    "cloud-init",
    "dbus",
    "iproute2",
    "libpam-systemd",
    "nftables",
    "openssh-server",
    "python3",
    "python3-apt",
    "sudo",
    "systemd",
    "systemd-sysv",
)
CLOUD_UNITS = (
    "cloud-init-main",
    "cloud-init-local",
    "cloud-init-network",
    "cloud-config",
    "cloud-final",
)
# Nothing on a lab machine may act by itself: it would change what a test measures.
MASKED_UNITS = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "getty@tty1.service",
    "console-getty.service",
    "systemd-udev-trigger.service",
    "systemd-udevd.service",
    "systemd-modules-load.service",
    "systemd-networkd-wait-online.service",
    "cloud-init-hotplugd.socket",
)
_ASSETS = "lab/build/base"


def _build(build: Build) -> None:
    root = build.out / "rootfs"
    debian.root_filesystem(
        build, build.versions["debian"]["guest"], root, variant="minbase", packages=PACKAGES
    )
    shutil.copytree(build.checkout / _ASSETS, root, dirs_exist_ok=True)
    for unit in CLOUD_UNITS:
        _drop_in(build, root, unit)
    build.run(["systemctl", f"--root={root}", "enable", "systemd-networkd.service"])
    build.run(["systemctl", f"--root={root}", "mask", *MASKED_UNITS])
    _forget_identity(root)


def _drop_in(build: Build, root: Path, unit: str) -> None:
    source = build.checkout / "lab" / "build" / "guestinfo.conf"
    folder = root / "etc" / "systemd" / "system" / f"{unit}.service.d"
    folder.mkdir(parents=True)
    shutil.copyfile(source, folder / "10-guestinfo.conf")


def _forget_identity(root: Path) -> None:
    for key in (root / "etc" / "ssh").glob("ssh_host_*"):
        key.unlink()
    (root / "etc" / "machine-id").write_text("", encoding="ascii")
    for name in ("etc/hostname", "etc/resolv.conf", "etc/apt/sources.list"):
        (root / name).unlink(missing_ok=True)
    (root / "etc" / "apt" / "apt.conf.d" / "99mmdebstrap").unlink(missing_ok=True)
    for folder in ("var/lib/apt/lists", "var/cache/apt", "var/log"):
        shutil.rmtree(root / folder)
        (root / folder).mkdir()
    (root / "var" / "lib" / "apt" / "lists" / "partial").mkdir()
    (root / "var" / "cache" / "apt" / "archives" / "partial").mkdir(parents=True)


PART = Part(
    name="base-image",
    summary="Debian root filesystem of the lab's machines",
    build=_build,
    inputs=(
        _ASSETS,
        "lab/build/guestinfo.conf",
        "lab/build/base_image.py",
        "lab/build/debian.py",
    ),
    sections=("debian",),
    needs_gib=1.0,
)
