"""The lab's etcd image: Debian's server and client where the vendor's image has them.

The contract of the vendor's image: ``/usr/local/bin/etcd`` and ``/usr/local/bin/etcdctl``.
"""

from __future__ import annotations

from lab.build import container, debian
from lab.build.model import Build, Part

PACKAGES = ("etcd-server", "etcd-client")


def _build(build: Build) -> None:
    root = build.out / "rootfs"
    suite = build.versions["debian"]["guest"]
    debian.root_filesystem(build, suite, root, variant="minbase", packages=PACKAGES)
    version = build.output(["chroot", str(root), "/usr/bin/etcd", "--version"]).split()[2]
    for program in ("etcd", "etcdctl"):
        (root / "usr" / "local" / "bin" / program).symlink_to(f"../../bin/{program}")
    container.forget_identity(root)
    container.pack(build, root, container.Image("etcd", version, command=("/usr/local/bin/etcd",)))


PART = Part(
    name="image-etcd",
    summary="etcd container image",
    build=_build,
    inputs=("lab/build/image_etcd.py", "lab/build/container.py", "lab/build/debian.py"),
    sections=("debian",),
    needs_gib=0.6,
    on_demand=True,
)
