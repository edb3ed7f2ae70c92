"""Where the stack's state is kept: a folder that is read here, or a place only Pulumi reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from permafrost.errors import Problem, Refused
from permafrost.site.pulumi_backend import FILE, folder_named, query_of, without_credentials

if TYPE_CHECKING:
    from permafrost.site.load import LoadedSite

WHERE = "control.pulumi_backend"


@dataclass(frozen=True, slots=True)
class Backend:
    """A backend as the engine is told of it. ``folder``: None where its files are not at hand."""

    url: str
    folder: Path | None = None

    @property
    def shown(self) -> str:
        """How messages name it, without anybody's password."""
        return without_credentials(self.url)

    @property
    def is_service(self) -> bool:
        """Whether Pulumi's service keeps the state, which has locks of its own kind."""
        return self.url.startswith("https://")


def stack_files(loaded: LoadedSite) -> Path:
    """Return the folder of the stack's working configuration; by default the backend's as well."""
    return loaded.state_dir / "pulumi"


def backend_of(loaded: LoadedSite) -> Backend:
    """Return the backend of a site. Folders are absolute: a `pulumi` may be typed anywhere."""
    named = loaded.site.control.pulumi_backend
    if named is None:
        return _in_folder(stack_files(loaded))
    folder = folder_named(named)
    if folder is None:
        return Backend(named)
    return _in_folder(loaded.resolve(folder), query_of(named))


def require_folder(backend: Backend) -> None:
    """Raise Refused when the backend's folder is not there.

    It is never made: the mount point of a share that is not mounted would be taken for a backend
    that holds nothing.
    """
    if backend.folder is not None and not backend.folder.is_dir():
        raise Refused(
            Problem(
                "PULUMI_BACKEND_UNREACHABLE",
                f"there is no folder {backend.folder}",
                WHERE,
                f"mount it, or make it: `mkdir -m 700 {backend.folder}`",
            )
        )


def _in_folder(folder: Path, options: str = "") -> Backend:
    return Backend(f"{FILE}{quote(str(folder))}{options}", folder)
