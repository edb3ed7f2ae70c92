"""``permafrost-node``: what an inference VM does with checkpoints, and what it says of itself.

Exit status: 0 done, 2 usage, 3 refused (bytes or behaviour are not as pinned), 4 failed.

The orchestrator asks ``state`` many times in each of its commands, each time as a process of its
own: what only some commands need is imported by these.
"""

from __future__ import annotations

import argparse
import errno
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import settings
from .errors import NodeError

if TYPE_CHECKING:
    from .store import ModelStore

REFUSED, FAILED = 3, 4
SLOTS = ("a", "b")
_REFUSALS = (
    "CHECKPOINT_MANIFEST_WRONG",
    "REGISTRY_BYTES_WRONG",
    "CHECKPOINT_NOT_PINNED",
    "CHECKPOINT_NOT_HERE",
    "FINGERPRINT_OF_ANOTHER",
    "FINGERPRINT_UNSIGNED",
    "SLOT_NOT_CONFIGURED",
    "SLOT_TAKEN",
    "NO_WAY_BACK",
    "NAME_INVALID",
    "PROBE_NOT_QUIET",
    "PROBE_SET_INVALID",
    "DISK_FULL",
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit status."""
    given = _parser().parse_args(arguments)
    try:
        return int(given.run(settings.load(given.config), given))
    except NodeError as error:
        return _told(error)
    except OSError as error:
        is_full = error.errno == errno.ENOSPC
        return _told(
            NodeError(
                "DISK_FULL" if is_full else "STORE_FAILED",
                str(error),
                "make room, or let the service's user read and write there",
            )
        )


def _told(error: NodeError) -> int:
    from .reading import WORST_FIRST

    sys.stderr.write(f"{error}\n")
    return REFUSED if error.code in (*WORST_FIRST, *_REFUSALS) else FAILED


def _log() -> None:
    """Have what takes long tell on standard error how far it is."""
    import logging

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="permafrost-node", description=__doc__)
    parser.add_argument("--config", type=Path, default=settings.DEFAULT_FILE)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def of_slot(parser: argparse.ArgumentParser) -> None:
        about = "a or b; else the first that is loaded"
        parser.add_argument("--slot", choices=SLOTS, default="", help=about)

    def command(name: str, run: Any, what: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=what, description=what)
        made.set_defaults(run=run)
        return made

    puller = command("pull", _pull, "fetch a checkpoint and its fingerprint")
    puller.add_argument("digest")
    follower = command("follow", _follow, "fetch the fingerprint that a slot has to meet alone")
    of_slot(follower)
    loader = command("load", _load, "have a slot load a checkpoint beside what serves")
    loader.add_argument("slot", choices=SLOTS)
    loader.add_argument("digest")
    exchanger = command(
        "exchange", _exchange, "have a slot load a checkpoint instead of the other"
    )
    exchanger.add_argument("slot", choices=SLOTS)
    exchanger.add_argument("digest")
    unloader = command("unload", _unload, "have a slot load nothing; its way back is kept")
    unloader.add_argument("slot", choices=SLOTS)
    switcher = command("switch", _switch, "point a slot at a checkpoint; what it had is kept")
    switcher.add_argument("slot", choices=SLOTS)
    switcher.add_argument("digest")
    returner = command("rollback", _rollback, "point a slot back at what it had")
    returner.add_argument("slot", choices=SLOTS)
    for name, run, what in (
        ("pin", _pin, "keep a checkpoint under a name"),
        ("unpin", _pin, "take a pin away"),
    ):
        pinner = command(name, run, what)
        pinner.add_argument("name")
        pinner.add_argument("digest", nargs="?" if name == "unpin" else None, default="")
    collector = command("gc", _gc, "remove checkpoints that nothing needs")
    collector.add_argument("--dry-run", action="store_true", help="only say what")
    command("scrub", _scrub, "read every byte that is kept; exit 3 when one is wrong")
    recorder = command("record", _record, "answer a probe set (standard input), alone")
    recorder.add_argument("--json", action="store_true")
    of_slot(recorder)
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
        of_slot(made)
        if name == "probe":
            made.add_argument("--all", action="store_true", help="ask every recorded probe")
    return parser


def _pull(told: settings.Settings, given: argparse.Namespace) -> int:
    from . import loading
    from .registry import RegistryReader

    _log()
    _say(loading.fetch(told, given.digest, RegistryReader(told.registry)))
    return 0


def _follow(told: settings.Settings, given: argparse.Namespace) -> int:
    from . import baselines, serving_class, slots
    from .registry import RegistryReader

    _log()
    seen = slots.view(told, given.slot)
    changed = baselines.follow(
        seen.checkpoint,
        RegistryReader(told.registry),
        told.fingerprint_of(seen.checkpoint),
        lambda: serving_class.observed(seen),
        told.baseline_signers,
    )
    _say({"schema": 1, "changed": changed, "checkpoint": seen.checkpoint})
    return 0


def _load(told: settings.Settings, given: argparse.Namespace) -> int:
    from . import loading
    from .registry import RegistryReader

    _log()
    reader = RegistryReader(told.registry)
    _say(loading.load(told, given.slot, given.digest, reader, loading.Machine()))
    return 0


def _exchange(told: settings.Settings, given: argparse.Namespace) -> int:
    from . import loading
    from .registry import RegistryReader

    _log()
    reader = RegistryReader(told.registry)
    _say(loading.exchange(told, given.slot, given.digest, reader, loading.Machine()))
    return 0


def _unload(told: settings.Settings, given: argparse.Namespace) -> int:
    from . import loading

    _log()
    _say(loading.unload(told, given.slot, loading.Machine()))
    return 0


def _switch(told: settings.Settings, given: argparse.Namespace) -> int:
    from .roots import Roots
    from .store import ModelStore

    slot = Roots(ModelStore(told.models_dir)).switch(given.slot, given.digest)
    _say({"schema": 1, "slot": given.slot, "current": slot.current, "previous": slot.previous})
    return 0


def _rollback(told: settings.Settings, given: argparse.Namespace) -> int:
    from .roots import Roots
    from .store import ModelStore

    slot = Roots(ModelStore(told.models_dir)).rollback(given.slot)
    _say({"schema": 1, "slot": given.slot, "current": slot.current, "previous": slot.previous})
    return 0


def _pin(told: settings.Settings, given: argparse.Namespace) -> int:
    from .roots import Roots
    from .store import ModelStore

    roots = Roots(ModelStore(told.models_dir))
    if given.digest:
        roots.pin(given.name, given.digest)
    else:
        roots.unpin(given.name)
    _say({"schema": 1, "kept": roots.kept()})
    return 0


def _gc(told: settings.Settings, given: argparse.Namespace) -> int:
    from . import collecting
    from .store import ModelStore

    _log()
    store = ModelStore(told.models_dir)
    _say(collecting.collect(store, lambda: _roots(store, given.config), dry=given.dry_run))
    return 0


def _roots(store: ModelStore, config: Path) -> dict[str, str]:
    """Return what must stay, read now: a convergence may have moved the pin a moment ago."""
    from . import slots
    from .roots import Roots
    from .store import ModelStore

    told = settings.load(config)
    if ModelStore(told.models_dir).trees != store.trees:
        raise NodeError("SETTINGS_INVALID", f"{config}: models_dir has changed", "run gc again")
    pinned = {f"pinned in slot {s}": digest for s, digest in slots.loaded(told).items()}
    roots = {**Roots(store).kept(), **pinned}
    for slot in told.slots:
        try:
            roots[f"configured in slot {slot}"] = slots.checkpoint_of(told, slot)
        except NodeError as error:
            if error.code != "SLOT_NOT_CONFIGURED":
                raise
    return roots


def _scrub(told: settings.Settings, _: argparse.Namespace) -> int:
    from . import scrub
    from .store import ModelStore

    _log()
    found = scrub.scrub(ModelStore(told.models_dir))
    _say(found)
    return REFUSED if found["wrong"] else 0


def _record(told: settings.Settings, given: argparse.Namespace) -> int:
    from . import control, recording

    asked = sys.stdin.buffer.read(recording.MOST_BYTES + 1)
    answer = control.ask(told, "POST", "/record", control.RECORD_S, asked, given.slot)
    if "error" in answer and not given.json:
        error = answer["error"]
        hint = error.get("hint") or "`journalctl -u permafrost-node` says more"
        raise NodeError(error["code"], error["message"], hint)
    _show(answer, as_json=given.json)
    return REFUSED if "error" in answer else 0


def _verify(told: settings.Settings, given: argparse.Namespace) -> int:
    from . import refusals, slots
    from .patience import Patience
    from .store import ModelStore

    _log()
    checkpoint = slots.checkpoint_of(told, given.slot or slots.view(told).slot)
    store = ModelStore(told.models_dir)
    try:
        files = store.verify(checkpoint, progress=Patience())
    except NodeError as error:
        if given.slot:
            refusals.note(told.models_dir, given.slot, error)
        raise
    if given.slot:
        refusals.forget(told.models_dir, given.slot)
        _note_load(told, store, given.slot, checkpoint)
        slots.mount(told, given.slot, store.tree(checkpoint))
    size = sum(file.size for file in files)
    sys.stderr.write(f"{checkpoint}: {len(files)} files, {size} bytes, all as pinned\n")
    return 0


def _note_load(told: settings.Settings, store: ModelStore, slot: str, checkpoint: str) -> None:
    """Note what a slot loads next; what it served is kept, and what it failed to serve is not.

    A full disk keeps nobody from serving.
    """
    from . import served
    from .roots import Roots

    try:
        Roots(store).switch(slot, checkpoint, served.last(told.served_dir, slot))
    except (OSError, NodeError) as error:
        sys.stderr.write(f"the load of slot {slot} was not noted: {error}\n")


def _serve(told: settings.Settings, _: argparse.Namespace) -> int:
    from .running import serve

    _log()
    serve(told)
    return 0


def _probe(told: settings.Settings, given: argparse.Namespace) -> int:
    from . import control

    path = "/probe?every=1" if given.all else "/probe"
    answer = control.ask(told, "POST", path, control.PROBE_S, slot=given.slot)
    _show(answer, as_json=given.json)
    return 0 if answer["passed"] else REFUSED


def _withdraw(told: settings.Settings, given: argparse.Namespace) -> int:
    from . import control

    _show(control.ask(told, "POST", "/withdraw", slot=given.slot), as_json=given.json)
    return 0


def _state(told: settings.Settings, given: argparse.Namespace) -> int:
    from . import control

    try:
        answer = control.ask(told, "GET", "/state", slot=given.slot)
    except NodeError as error:
        from . import slots

        # Without the service nothing passes the health check: that is a state, and it is said
        seen = slots.view(told, given.slot)
        answer = {
            "schema": 1,
            "node": told.node,
            "state": "OUT",
            "checkpoint": "",
            "pinned": seen.checkpoint,
            "slot": seen.slot,
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
    sys.stdout.write(f"{answer['node']} {answer['state']} {answer['checkpoint'] or '-'}\n")
    if answer["reason"]:
        sys.stdout.write(f"  {answer['reason']}\n")


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    sys.exit(main())
