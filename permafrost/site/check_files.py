"""Rules about the files that a site names: there, readable, secrets closed to others."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from permafrost.errors import Problem
from permafrost.site.model import Site
from permafrost.site.object_store import HERE
from permafrost.site.pulumi_backend import folder_named


def named_files(site: Site) -> dict[str, tuple[str, bool]]:
    """Return path in the site file -> (file, whether it is a secret), for every file named."""
    found: dict[str, tuple[str | None, bool]] = {
        "vcenter.password_file": (site.vcenter.password_file, True),
        "vcenter.ca_file": (site.vcenter.ca_file, False),
        "registry.password_file": (site.registry.password_file, True),
        "registry.ca_file": (site.registry.ca_file, False),
        "packages.key_file": (site.packages.key_file, False),
        "control.passphrase_file": (site.control.passphrase_file, True),
    }
    if site.registry.signatures is not None:
        for name, file in site.registry.signatures.signers.items():
            found[f"registry.signatures.signers.{name}"] = (file, False)
    if site.knowledge is not None:
        for name, user in site.knowledge.milvus.access.users.items():
            found[f"knowledge.milvus.access.users.{name}.password_file"] = (
                user.password_file,
                True,
            )
        if (store := site.knowledge.milvus.object_store) is not None:
            found[f"{HERE}.secret_key_file"] = (store.secret_key_file, True)
            found[f"{HERE}.ca_file"] = (store.ca_file, False)
    if site.edge.tls is not None:
        found["edge.tls.certificate_file"] = (site.edge.tls.certificate_file, False)
        found["edge.tls.key_file"] = (site.edge.tls.key_file, True)
    if site.tls is not None:
        found["tls.authority.certificate_file"] = (site.tls.authority.certificate_file, False)
        found["tls.authority.key_file"] = (site.tls.authority.key_file, True)
    return {
        key: (name, is_secret)
        for key, (name, is_secret) in sorted(found.items())
        if name is not None
    }


def check_files(site: Site, resolve: Callable[[str], Path]) -> list[Problem]:
    """Return every file that the site names and that is missing, unreadable or open to others."""
    found: list[Problem] = []
    for key, name in (
        ("control.state_dir", site.control.state_dir),
        ("control.pulumi_dir", site.control.pulumi_dir),
        ("control.pulumi_backend", folder_named(site.control.pulumi_backend or "")),
    ):
        if name is not None and (problem := _unresolvable(key, name, resolve)) is not None:
            found.append(problem)
    for key, (name, is_secret) in named_files(site).items():
        problem = _unresolvable(key, name, resolve)
        found += [problem] if problem else _file(key, resolve(name), is_secret=is_secret)
    return found


def _unresolvable(key: str, name: str, resolve: Callable[[str], Path]) -> Problem | None:
    try:
        resolve(name)
    except (RuntimeError, ValueError) as error:
        # `~nobody/…`: there is no such user.
        return Problem("PATH_MALFORMED", f"{name!r}: {error}", key, "write it without `~`")
    return None


def _file(key: str, path: Path, *, is_secret: bool) -> Iterator[Problem]:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(21, "Is a directory")
        if not stat.S_ISREG(mode):
            raise OSError(22, "is no regular file")
        with path.open("rb") as stream:
            is_empty = not stream.read(1)
    except OSError as error:
        yield Problem(
            "FILE_UNREADABLE",
            f"cannot read {path}: {error.strerror}",
            key,
            "paths are relative to the folder of the site file",
        )
        return
    if is_empty:
        yield Problem("FILE_EMPTY", f"{path} is empty", key, "write what belongs there into it")
    if is_secret and mode & 0o077:
        yield Problem(
            "SECRET_FILE_OPEN",
            f"{path} may be read by others (mode {stat.S_IMODE(mode):04o})",
            key,
            f"chmod 600 {path}",
        )
