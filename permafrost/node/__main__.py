"""``permafrost-node``: pull, verify, serve, probe, withdraw, state.

Exit status: 0 done, 2 usage, 3 refused (bytes or behaviour are not as pinned), 4 failed.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path
from typing import Any

from . import control, pull, settings, slots
from .errors import NodeError
from .registry import RegistryReader
from .service import serve
from .store import ModelStore

REFUSED, FAILED = 3, 4
_REFUSALS = (
    "CHECKPOINT_BYTES_WRONG",
    "CHECKPOINT_NOT_PINNED",
    "CHECKPOINT_NOT_HERE",
    "FINGERPRINT_OF_ANOTHER",
    "SLOT_NOT_CONFIGURED",
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit status."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        return int(given.run(settings.load(given.config), given))
    except NodeError as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED if error.code in _REFUSALS else FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="permafrost-node", description=__doc__)
    parser.add_argument("--config", type=Path, default=settings.DEFAULT_FILE)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, what: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=what, description=what)
        made.set_defaults(run=run)
        return made

    puller = command("pull", _pull, "fetch a checkpoint and its fingerprint")
    puller.add_argument("digest")
    verifier = command("verify", _verify, "read every byte that a slot would load")
    verifier.add_argument("--slot", default=None)
    command("serve", _serve, "run the service")
    for name, run, what in (
        ("probe", _probe, "generate against the fingerprint; a pass admits the node"),
        ("withdraw", _withdraw, "take the node out until a probe"),
        ("state", _state, "say what the node is doing"),
    ):
        made = command(name, run, what)
        made.add_argument("--json", action="store_true")
        if name == "probe":
            made.add_argument("--all", action="store_true", help="ask every recorded probe")
    return parser


def _pull(told: settings.Settings, given: argparse.Namespace) -> int:
    store = ModelStore(told.models_dir)
    reader = RegistryReader(told.registry)
    _say(pull.pull(given.digest, store, reader, told.fingerprint_file))
    return 0


def _verify(told: settings.Settings, given: argparse.Namespace) -> int:
    checkpoint = slots.checkpoint_of(told, given.slot or told.slot)
    files = ModelStore(told.models_dir).verify(checkpoint)
    size = sum(file.size for file in files)
    sys.stderr.write(f"{checkpoint}: {len(files)} files, {size} bytes, all as pinned\n")
    return 0


def _serve(told: settings.Settings, _: argparse.Namespace) -> int:
    serve(told)
    return 0


def _probe(told: settings.Settings, given: argparse.Namespace) -> int:
    path = "/probe?every=1" if given.all else "/probe"
    answer = control.ask(told, "POST", path, control.PROBE_S)
    _show(answer, as_json=given.json)
    return 0 if answer["passed"] else REFUSED


def _withdraw(told: settings.Settings, given: argparse.Namespace) -> int:
    _show(control.ask(told, "POST", "/withdraw"), as_json=given.json)
    return 0


def _state(told: settings.Settings, given: argparse.Namespace) -> int:
    try:
        answer = control.ask(told, "GET", "/state")
    except NodeError as error:
        # Without the service nothing passes the health check: that is a state, and it is said
        answer = {
            "schema": 1,
            "node": told.node,
            "state": "OUT",
            "checkpoint": told.checkpoint,
            "slot": told.slot,
            "pending": 0,
            "executing": 0,
            "reason": error.message,
        }
    _show(answer, as_json=given.json)
    return 0


def _show(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        _say(answer)
        return
    sys.stdout.write(f"{answer['node']} {answer['state']} {answer['checkpoint']}\n")
    if answer["reason"]:
        sys.stdout.write(f"  {answer['reason']}\n")


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    sys.exit(main())
