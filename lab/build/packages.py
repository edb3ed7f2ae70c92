"""The packages that roles install: a signed apt repository, complete beside the base image.

Resolved and downloaded by this machine's apt against the base image's package database, so what
the repository holds is exactly what a lab machine lacks. Signed by a key that is made for it and
then thrown away: nothing can be added to a built repository.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from lab.build import debian
from lab.build.model import Build, Part

_SIGNER = "Permafrost lab packages"
_ARCHITECTURE = "amd64"


def _build(build: Build) -> None:
    suite = build.versions["debian"]["guest"]
    with tempfile.TemporaryDirectory(prefix="permafrost-packages-") as scratch:
        _download(build, suite, Path(scratch))
        _index(build, suite)
        _sign(build, suite, Path(scratch))


def _apt_options(build: Build, suite: str, scratch: Path) -> list[str]:
    for folder in ("lists/partial", "archives/partial", "empty"):
        (scratch / folder).mkdir(parents=True)
    source = f"deb [signed-by={debian.KEYRING}] {debian.mirror(build)} {suite} main\n"
    (scratch / "sources.list").write_text(source, encoding="utf-8")
    settings = {
        "APT::Architecture": _ARCHITECTURE,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
        "Dir::Etc::sourcelist": str(scratch / "sources.list"),
        "Dir::Etc::sourceparts": str(scratch / "empty"),
        "Dir::Etc::preferencesparts": str(scratch / "empty"),
        "Dir::State::lists": str(scratch / "lists"),
        "Dir::State::status": str(build.needs["base-image"] / "rootfs/var/lib/dpkg/status"),
        "Dir::State::extended_states": str(scratch / "extended_states"),
        "Dir::Cache::archives": str(scratch / "archives"),
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
    }
    return [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]


def _download(build: Build, suite: str, scratch: Path) -> None:
    options = _apt_options(build, suite, scratch)
    names = build.versions["packages"]["names"]
    env = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    build.run(["apt-get", *options, "update"], env=env)
    build.run(["apt-get", *options, "--yes", "--download-only", "install", *names], env=env)
    pool = build.out / "pool"
    pool.mkdir()
    for package in sorted((scratch / "archives").glob("*.deb")):
        # apt escapes the colon of an epoch; a plain name needs no escaping in a URL either.
        shutil.move(package, pool / package.name.replace("%3a", "."))


def _index(build: Build, suite: str) -> None:
    folder = f"dists/{suite}/main/binary-{_ARCHITECTURE}"
    (build.out / folder).mkdir(parents=True)
    packages = build.output(["apt-ftparchive", "packages", "pool"], cwd=build.out)
    (build.out / folder / "Packages").write_text(packages, encoding="utf-8")
    build.run(["xz", "--keep", "Packages"], cwd=build.out / folder)
    release = {
        "Origin": _SIGNER,
        "Label": _SIGNER,
        "Suite": suite,
        "Codename": suite,
        "Architectures": _ARCHITECTURE,
        "Components": "main",
    }
    options = [f"APT::FTPArchive::Release::{key}={value}" for key, value in release.items()]
    argv = ["apt-ftparchive", *(p for o in options for p in ("-o", o)), "release", "."]
    dist = build.out / "dists" / suite
    text = build.output(argv, cwd=dist)
    (dist / "Release").write_text(text, encoding="utf-8")


def _sign(build: Build, suite: str, scratch: Path) -> None:
    home = scratch / "gnupg"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--batch", "--no-tty", "--homedir", str(home), "--passphrase", ""]
    env = {"GNUPGHOME": str(home), "LC_ALL": "C"}
    dist = build.out / "dists" / suite
    build.run([*gpg, "--quick-generate-key", _SIGNER, "ed25519", "sign", "never"], env=env)
    digest = ["--digest-algo", "SHA512"]
    release, signature = str(dist / "Release"), str(dist / "Release.gpg")
    build.run([*gpg, *digest, "--clearsign", "-o", str(dist / "InRelease"), release], env=env)
    build.run([*gpg, *digest, "--armor", "--detach-sign", "-o", signature, release], env=env)
    build.run([*gpg, "--armor", "--export", "-o", str(build.out / "key.asc")], env=env)
    if os.geteuid() != 0:  # as root the agent ended with the command that started it
        build.run(["gpgconf", "--homedir", str(home), "--kill", "all"])


PART = Part(
    name="packages",
    summary="packages that roles install",
    build=_build,
    inputs=("lab/build/packages.py", "lab/build/debian.py"),
    sections=("debian", "packages"),
    needs=("base-image",),
    needs_gib=0.5,
)
