"""Record, compare or rebaseline the behaviour of a checkpoint on one drained replica.

Order: looked at (drained, idle), probed, judged against what is kept, intent journalled, kept,
then every replica of the endpoint is told. Cut anywhere and run again it ends the same: answers
that are kept already are not kept twice, and who was not told yet is told then. What records ends
with a receipt; what compares changes nothing, and has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from model_registry.fingerprint import probes as probe_sets
from model_registry.fingerprint.document import (
    Asked,
    Fingerprint,
    probe_set_digest,
    read,
    read_class,
)
from model_registry.fingerprint.keeping import Judged, Verb, asked_first, judge, probes_for
from permafrost.adapters.models import translated
from permafrost.engine.state import DeclaredState, Phase
from permafrost.engine.waiting import wait_until
from permafrost.errors import Failed, PermafrostError, Problem, Refused
from permafrost.planning.fingerprint import FingerprintPlan, FingerprintStep, plan_fingerprint
from permafrost.planning.live import LiveState
from permafrost.ports import Fingerprints
from permafrost.runbook.by_hand import by_hand
from permafrost.runbook.context import Context
from permafrost.runbook.looking import as_replica, look_around
from permafrost.site.pins import digest_of
from permafrost.topology import Node

SETTLES_WITHIN_S = 30.0
"""A node generates a token now and then to see that its server lives: that is in flight too."""


@dataclass(frozen=True, slots=True)
class FingerprintEvidence:
    """What was seen, how it compared, and what was kept (empty: nothing new)."""

    plan: FingerprintPlan
    seen: Fingerprint
    judged: Judged
    kept: str
    weak: tuple[probe_sets.Weakness, ...]
    notes: tuple[str, ...]
    operation: str = ""
    receipt: str = ""
    """Empty where nothing was recorded."""

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        against = self.judged.against
        return {
            "schema": 1,
            "command": f"fingerprint {self.plan.command}",
            "replica": self.plan.replica,
            "checkpoint": self.seen.checkpoint,
            "serving_class": self.seen.serving_class.as_dict(),
            "probe_set": self.seen.probe_set,
            "probes": len(self.seen.answers),
            "passes": self.judged.passes,
            "comparison": self.judged.comparison.as_dict() if self.judged.comparison else None,
            "compared_with": against.as_dict() if against and against.is_known else None,
            "changed": bool(self.kept),
            "fingerprint": self.kept or None,
            "weak": [w.as_dict() for w in self.weak],
            "notes": list(self.notes),
        }


def preview_fingerprint(ctx: Context, replica: str, verb: Verb) -> FingerprintPlan:
    """Return what a command would do now; raises Refused as it would."""
    node = as_replica(ctx, replica)
    seen = [look_around(ctx, node)]

    def has_settled() -> bool:
        seen[0] = look_around(ctx, node)
        return not _ends_by_itself(seen[0], node)

    if _ends_by_itself(seen[0], node):
        wait_until(has_settled, clock=ctx.clock, deadline_s=SETTLES_WITHIN_S, every_s=1.0)
    return plan_fingerprint(ctx.site, seen[0], node, verb.value)


def _ends_by_itself(live: LiveState, node: Node) -> bool:
    """Whether a drained replica works on something: nobody is sent there, so it will end."""
    declared = live.declared.get(node.name)
    is_drained = declared is not None and declared.state is DeclaredState.DRAINED
    return is_drained and live.in_flight(node.name) > 0


def fingerprint_replica(
    ctx: Context,
    store: Fingerprints,
    replica: str,
    verb: Verb,
    *,
    owner: str,
    probes: Path | None = None,
) -> FingerprintEvidence:
    """Probe a drained replica and record, compare or rebaseline; it stays drained."""
    ctx.guard()
    plan = preview_fingerprint(ctx, replica, verb)
    known = _known(store, plan.model)
    wanted = _wanted(store, plan.model, probes) if verb is Verb.RECORD else ()
    first, asked = _asked(ctx, plan, verb, known, wanted)
    before = {"known": len(known)}
    with by_hand(ctx, f"fingerprint {verb}", plan.replica, owner=owner, before=before) as by:
        journal = by.journal
        about = {"checkpoint": digest_of(plan.model), "probe_set": probe_set_digest(asked)}
        journal(f"fingerprint-{verb}", plan.replica, Phase.INTENT, about)
        try:
            if first:
                translated()(judge)(verb, known, _probe(ctx, plan, first))
            seen = _probe(ctx, plan, asked)
            judged = translated()(judge)(verb, known, seen)
            ctx.guard()
            kept = store.add(plan.model, seen.as_dict()) if judged.keep else ""
        except PermafrostError as error:
            journal(f"fingerprint-{verb}", plan.replica, Phase.FAILED, {"error": error.code})
            raise
        notes = _tell(ctx, plan)
        weak = _weaknesses(store, plan.model, seen) if verb is not Verb.COMPARE else ()
        evidence = FingerprintEvidence(plan, seen, judged, kept, weak, notes)
        journal(f"fingerprint-{verb}", plan.replica, Phase.DONE, _short(evidence))
        if verb is not Verb.COMPARE:
            by.end({**_short(evidence), "changed": bool(kept), "notes": list(notes)})
    return replace(evidence, operation=journal.id, receipt=by.receipt)


@translated()
def _known(store: Fingerprints, model: str) -> tuple[Fingerprint, ...]:
    return tuple(read(document) for document in store.known(model))


@translated()
def _wanted(store: Fingerprints, model: str, file: Path | None) -> tuple[Asked, ...]:
    """Return the probe set that was named, else that of the checkpoint, else the default."""
    if file is not None:
        try:
            return probe_sets.read_set(file.read_bytes())
        except OSError as error:
            raise Refused(
                Problem(
                    "PROBE_SET_INVALID",
                    f"cannot read {file}: {error.strerror}",
                    hint="name a readable file with --probes, or leave it out for the default",
                )
            ) from None
    shipped = store.probe_set(model)
    return probe_sets.read_set(shipped) if shipped else probe_sets.default()


@translated()
def _asked(
    ctx: Context,
    plan: FingerprintPlan,
    verb: Verb,
    known: tuple[Fingerprint, ...],
    wanted: Sequence[Asked],
) -> tuple[tuple[Asked, ...], tuple[Asked, ...]]:
    """Return what has to get its known answers first, and what is asked then."""
    told: Mapping[str, object] = ctx.models.serving_class(plan.replica)
    serving_class = read_class(told)
    asked = probes_for(verb, known, serving_class, wanted)
    return asked_first(verb, known, serving_class, asked), asked


@translated()
def _probe(ctx: Context, plan: FingerprintPlan, asked: tuple[Asked, ...]) -> Fingerprint:
    answers = ctx.models.answer(plan.replica, [one.as_dict() for one in asked], probe_sets.TOP_K)
    pinned = digest_of(plan.model)
    if answers.checkpoint != pinned:
        raise Failed(
            Problem(
                "CHECKPOINT_DIGEST_MISMATCH",
                f"has loaded {answers.checkpoint}, the site pins {pinned}",
                plan.replica,
                "run `permafrost deploy`; nothing was recorded",
            )
        )
    return read(
        {
            "schema": 2,
            "checkpoint": pinned,
            "serving_class": answers.serving_class,
            "probes": answers.probes,
        }
    )


def _tell(ctx: Context, plan: FingerprintPlan) -> tuple[str, ...]:
    """Let every replica of the endpoint fetch what it has to meet; who cannot is noted."""
    notes = []
    for step, name in plan.steps:
        if step is not FingerprintStep.FOLLOW:
            continue
        try:
            ctx.models.follow(name)
        except PermafrostError as error:
            notes.append(f"{name} did not fetch it: {error.problems[0].message}")
    return tuple(notes)


@translated()
def _weaknesses(
    store: Fingerprints, model: str, seen: Fingerprint
) -> tuple[probe_sets.Weakness, ...]:
    parents = tuple(read(document) for document in store.of_parents(model))
    return probe_sets.weaknesses(seen, parents)


def _short(evidence: FingerprintEvidence) -> dict[str, object]:
    """Return what the journal keeps: no answers."""
    told = evidence.as_dict()
    return {k: told[k] for k in ("checkpoint", "probe_set", "comparison", "fingerprint")}
