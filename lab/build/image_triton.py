"""The lab's Triton image: the real server with its Python backend, on the CPU.

The same entry point contract as the vendor's image: ``tritonserver`` on PATH, everything below
/opt/tritonserver, a user ``triton-server``. The server comes from the Python package that carries
it; production uses the vendor's image with the same unit.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from lab.build import debian
from lab.build.model import Build, Part
from lab.build.tools import uv_command

PYTHON = "3.11"
PACKAGES = (
    f"libpython{PYTHON}",
    f"python{PYTHON}-minimal",
    f"libpython{PYTHON}-stdlib",
    "libstdc++6",
    "libgomp1",
    "ca-certificates",
)
TAG = "triton"
_USER = "triton-server"
_UID = 1000
_LOCK = "lab/build/triton/requirements.lock"
_SERVER_LOCK = "lab/build/triton/server.lock"
_UNUSED_LIBRARIES = ("libpython3-",)


def _build(build: Build) -> None:
    root = build.out / "rootfs"
    debian.root_filesystem(
        build,
        build.versions["debian"]["image"],
        root,
        variant="minbase",
        packages=PACKAGES,
        options=("--dpkgopt=path-exclude=/usr/share/zoneinfo/*",),
    )
    _server(build, root)
    _python_packages(build, root)
    _finish(root)
    _pack(build, root)
    shutil.rmtree(root)


def _server(build: Build, root: Path) -> None:
    wheels = build.out / "wheels"
    uv = uv_command()
    build.run(
        [
            uv,
            "pip",
            "install",
            "--no-deps",
            "--require-hashes",
            "--python-version",
            PYTHON,
            "--link-mode",
            "copy",
            "--target",
            str(wheels),
            "-r",
            str(build.checkout / _SERVER_LOCK),
        ]
    )
    home = root / "opt" / "tritonserver"
    source = wheels / "pytriton" / "tritonserver"
    python_backend = home / "backends" / "python"
    python_backend.mkdir(parents=True)
    for name in ("libtriton_python.so", "triton_python_backend_utils.py"):
        shutil.copyfile(source / "backends" / "python" / name, python_backend / name)
    stub = python_backend / "triton_python_backend_stub"
    shutil.copyfile(source / "python_backend_stubs" / PYTHON / "triton_python_backend_stub", stub)
    server = home / "bin" / "tritonserver"
    server.parent.mkdir()
    shutil.copyfile(source / "bin" / "tritonserver", server)
    for program in (stub, server):
        program.chmod(0o755)
    (home / "lib").mkdir()
    for library in (wheels / "nvidia_pytriton.libs").iterdir():
        if not library.name.startswith(_UNUSED_LIBRARIES):
            shutil.copyfile(library, home / "lib" / library.name)
    # Where the libraries look for each other, as their wheel lays them out.
    (root / "nvidia_pytriton.libs").symlink_to("opt/tritonserver/lib")
    shutil.rmtree(wheels)


def _python_packages(build: Build, root: Path) -> None:
    build.run(
        [
            uv_command(),
            "pip",
            "install",
            "--no-deps",
            "--require-hashes",
            "--python-version",
            PYTHON,
            "--only-binary",
            ":all:",
            "--link-mode",
            "copy",
            "--target",
            str(root / "usr" / "local" / "lib" / f"python{PYTHON}" / "dist-packages"),
            "-r",
            str(build.checkout / _LOCK),
        ]
    )
    packages = root / "usr" / "local" / "lib" / f"python{PYTHON}" / "dist-packages"
    for tests in packages.glob("numpy/**/tests"):
        shutil.rmtree(tests)


def _finish(root: Path) -> None:
    (root / "usr" / "bin" / "python3").unlink(missing_ok=True)
    (root / "usr" / "bin" / "python3").symlink_to(f"python{PYTHON}")
    entry = root / "opt" / "nvidia" / "nvidia_entrypoint.sh"
    entry.parent.mkdir(parents=True)
    entry.write_text('#!/bin/sh\nexec "$@"\n', encoding="ascii")
    entry.chmod(0o755)
    with (root / "etc" / "passwd").open("a", encoding="ascii") as file:
        file.write(f"{_USER}:x:{_UID}:{_UID}::/home/{_USER}:/usr/sbin/nologin\n")
    with (root / "etc" / "group").open("a", encoding="ascii") as file:
        file.write(f"{_USER}:x:{_UID}:\n")
    home = root / "home" / _USER
    home.mkdir()
    home.chmod(0o755)
    for folder in ("dev", "var/lib/apt/lists", "var/cache", "var/log", "usr/share/doc"):
        shutil.rmtree(root / folder)
        (root / folder).mkdir()
    for path in ("etc/hostname", "etc/resolv.conf", "etc/apt/sources.list"):
        (root / path).unlink(missing_ok=True)


def _pack(build: Build, root: Path) -> None:
    layout = build.out / "oci"
    version = build.versions["triton"]["version"]
    image = f"{layout}:{TAG}"
    build.run(["umoci", "init", "--layout", str(layout)])
    build.run(["umoci", "new", "--image", image])
    build.run(["umoci", "insert", "--image", image, str(root), "/"])
    settings = {
        "--os": "linux",
        "--architecture": "amd64",
        "--config.user": f"{_UID}:{_UID}",
        "--config.workingdir": "/opt/tritonserver",
        "--config.entrypoint": "/opt/nvidia/nvidia_entrypoint.sh",
        "--config.label": f"org.opencontainers.image.version={version}",
    }
    path = "/opt/tritonserver/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    env = {"PATH": path, "PYTHONDONTWRITEBYTECODE": "1", "HOME": f"/home/{_USER}"}
    argv = ["umoci", "config", "--image", image]
    for option, value in settings.items():
        argv += [option, value]
    for name, value in env.items():
        argv += ["--config.env", f"{name}={value}"]
    build.run(argv)
    build.run(["umoci", "gc", "--layout", str(layout)])
    digest = build.output(["skopeo", "inspect", "--format", "{{.Digest}}", f"oci:{image}"])
    (build.out / "digest").write_text(digest.strip() + "\n", encoding="ascii")


PART = Part(
    name="image-triton",
    summary="Triton container image",
    build=_build,
    inputs=("lab/build/triton", "lab/build/image_triton.py", "lab/build/debian.py"),
    sections=("debian", "triton", "engine"),
    needs_gib=2.0,
)
