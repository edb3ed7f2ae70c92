"""``python -m model_registry``: add, show, push, verify. Exit status 0 done, 3 refused, 4 failed.

The registry's password is read from a file, never from the command line.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from model_registry.adding import annotations_of, refuse_unsafe
from model_registry.catalogue.model import check_name
from model_registry.checkpoint import files_of, pack, plain_files
from model_registry.client import RegistryClient
from model_registry.errors import RegistryError, RegistryRefused, not_stored
from model_registry.layout import OciLayout
from model_registry.media_types import MODEL
from model_registry.meter import Meter
from model_registry.transfer import push_layout
from model_registry.unsafe import unsafe_files
from model_registry.verify import verify

_REFUSED, _FAILED = 3, 4


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit status."""
    given = _parser().parse_args(arguments)
    try:
        answer, status = given.run(given)
    except RegistryError as error:
        sys.stderr.write(f"{error}\n")
        return _REFUSED if isinstance(error, RegistryRefused) else _FAILED
    except OSError as error:
        sys.stderr.write(f"{not_stored(str(error.filename or 'a file'), error)}\n")
        return _FAILED
    sys.stdout.write(json.dumps({"schema": 1, **answer}) + "\n")
    return int(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="model_registry", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, what: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=what, description=what)
        made.add_argument("layout", type=Path, help="OCI image layout")
        made.set_defaults(run=run)
        return made

    add = command("add", _add, "pack a folder or one file as a checkpoint")
    add.add_argument("name")
    add.add_argument("folder", type=Path)
    add.add_argument("--allow-unsafe", action="store_true", help="take in pickles too, marked")
    command("show", _show, "list the checkpoints of a layout")
    check = command("verify", _verify, "read every byte of a checkpoint")
    check.add_argument("digest")
    push = command("push", _push, "push a layout to a registry")
    push.add_argument("url", help="oci://host:port")
    push.add_argument("repository")
    push.add_argument("--username", default="")
    push.add_argument("--password-file", type=Path)
    push.add_argument("--ca-file", type=Path)
    push.add_argument("--move-tags", action="store_true", help="tags may name other content now")
    return parser


def _add(given: argparse.Namespace) -> tuple[dict[str, Any], int]:
    check_name(given.name)
    unsafe = unsafe_files(plain_files(given.folder))
    refuse_unsafe(given.name, unsafe, given.allow_unsafe)
    layout = OciLayout.create(given.layout)
    annotations = annotations_of(None, unsafe)
    return {"checkpoint": pack(given.folder, layout, given.name, annotations=annotations)}, 0


def _show(given: argparse.Namespace) -> tuple[dict[str, Any], int]:
    layout = OciLayout(given.layout)
    found = []
    for entry in layout.entries():
        manifest = layout.read_json(entry.digest)
        if manifest.get("artifactType") != MODEL:
            continue
        config = layout.read_json(manifest["config"]["digest"])
        files = [{"path": f.path, "digest": f.digest, "size": f.size} for f in files_of(manifest)]
        name = config["descriptor"]["name"]
        found.append(
            {"checkpoint": entry.digest, "name": name, "model": config["config"], "files": files}
        )
    return {"checkpoints": found}, 0


def _verify(given: argparse.Namespace) -> tuple[dict[str, Any], int]:
    verdict = verify(OciLayout(given.layout), given.digest)
    answer: dict[str, Any] = {
        "checkpoint": given.digest,
        "holds": verdict.holds,
        "wrong": list(verdict.wrong),
    }
    answer["damages"] = [damage.as_dict() for damage in verdict.damages]
    return answer, 0 if verdict.holds else _REFUSED


def _push(given: argparse.Namespace) -> tuple[dict[str, Any], int]:
    password = given.password_file.read_text("utf-8").strip() if given.password_file else ""
    with RegistryClient(
        given.url, username=given.username, password=password, ca_file=given.ca_file
    ) as client:
        meter = Meter()
        digest = push_layout(
            given.layout, client, given.repository, move_tags=given.move_tags, meter=meter
        )
        return {"digest": digest, **meter.as_dict()}, 0


if __name__ == "__main__":
    sys.exit(main())
