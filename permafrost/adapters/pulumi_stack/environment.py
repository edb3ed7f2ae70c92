"""The environment in which every ``pulumi`` of a site runs, typed by a person or by us.

The stack's encryption salt must not land in the tracked ``Pulumi.<stack>.yaml``. So Pulumi is
pointed at a working copy of that file in the state directory (``PULUMI_OPTION_CONFIG_FILE``), and
commands that know no such option fall back to the salt in the stack's own state.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from permafrost.adapters.pulumi_stack.backend import backend_of, stack_files
from permafrost.errors import Failed, Problem
from permafrost.pki.files import write_whole
from permafrost.topology import node_names

if TYPE_CHECKING:
    from permafrost.site.load import LoadedSite

PROJECT = "permafrost"
CHECKOUT = Path(__file__).resolve().parents[3]
SYSTEM_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


def config_file(loaded: LoadedSite) -> Path:
    """Return the working copy of the stack's configuration (it holds the encryption salt)."""
    return stack_files(loaded) / f"Pulumi.{loaded.site.control.pulumi_stack}.yaml"


def authorities_file(loaded: LoadedSite) -> Path:
    """Return the bundle that holds the system's authorities and the vCenter's own."""
    return loaded.state_dir / "authorities.pem"


def stack_environment(loaded: LoadedSite, *, engine: Path | None = None) -> dict[str, str]:
    """Return what must be exported so that a bare ``pulumi`` acts on this site.

    ``engine`` is the folder that holds ``pulumi``; where it is not given, PATH decides.
    """
    site, vcenter = loaded.site, loaded.site.vcenter
    state = loaded.state_dir
    environment = {
        "PERMAFROST_SITE": str(loaded.path.resolve()),
        "PULUMI_BACKEND_URL": backend_of(loaded).url,
        "PULUMI_HOME": str(state / "pulumi-home"),
        "PULUMI_STACK": site.control.pulumi_stack,
        "PULUMI_OPTION_CONFIG_FILE": str(config_file(loaded)),
        "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER": "true",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_PARALLEL": str(parallel_steps(len(node_names(site)))),
        "VSPHERE_SERVER": vcenter.server,
        "VSPHERE_USER": vcenter.user,
        "VSPHERE_PASSWORD": _secret(loaded.resolve(vcenter.password_file)),
        "VSPHERE_ALLOW_UNVERIFIED_SSL": "true" if vcenter.allow_unverified_ssl else "false",
        "PATH": _search_path(engine),
    }
    if site.control.passphrase_file is not None:
        passphrase = loaded.resolve(site.control.passphrase_file)
        environment["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(passphrase)
    if vcenter.ca_file is not None:
        environment["SSL_CERT_FILE"] = str(authorities_file(loaded))
    return environment


def parallel_steps(node_count: int) -> int:
    """Return how many steps Pulumi may have under way.

    A replica whose turn to drain has not come keeps its step waiting; the step that admits the
    one before it must still find room, or all would wait for each other.
    """
    return 16 + 4 * node_count


def write_authorities(loaded: LoadedSite) -> None:
    """Write the bundle that ``SSL_CERT_FILE`` names, when the site has an authority of its own."""
    ca_file = loaded.site.vcenter.ca_file
    if ca_file is None:
        return
    system = SYSTEM_AUTHORITIES.read_text() if SYSTEM_AUTHORITIES.exists() else ""
    text = system + loaded.resolve(ca_file).read_text()
    path = authorities_file(loaded)
    if not path.exists() or path.read_text() != text:
        write_whole(path, text.encode(), mode=0o644)


def _search_path(engine: Path | None) -> str:
    folders = [str(engine)] if engine else []
    folders.append(str(CHECKOUT / ".venv" / "bin"))
    rest = [f for f in os.environ.get("PATH", os.defpath).split(os.pathsep) if f not in folders]
    return os.pathsep.join(folders + rest)


def pulumi_program(environment: dict[str, str]) -> str:
    """Return the path of ``pulumi``; the language host is looked for beside it."""
    found = shutil.which("pulumi", path=environment["PATH"])
    if found is None:
        raise Failed(
            Problem(
                "PULUMI_NOT_FOUND",
                "there is no `pulumi` on PATH",
                hint="run `make up`, or install Pulumi as docs/requirements says",
            )
        )
    return found


def _secret(path: Path) -> str:
    try:
        return path.read_text().rstrip("\n")
    except OSError as error:
        raise Failed(
            Problem(
                "SECRET_UNREADABLE",
                f"{path}: {error.strerror}",
                "vcenter.password_file",
                "put the file back, readable by this user alone; `permafrost validate` checks it",
            )
        ) from None
