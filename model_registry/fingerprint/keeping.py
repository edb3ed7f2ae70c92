"""May this be kept as a checkpoint's fingerprint? Pure decisions over what was kept before.

- The first fingerprint of a class is recorded; one from the engine alone, over the same probe
  set, must be equivalent.
- A class has one fingerprint for a probe set: it is never replaced by other answers. Another probe
  set beside it is recorded only where the known one still gets the same answers.
- A new class beside known ones is not recorded: it is rebaselined, which compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from model_registry.errors import RegistryError, RegistryRefused
from model_registry.fingerprint.comparison import Comparison, Grade, compare
from model_registry.fingerprint.document import (
    Asked,
    Fingerprint,
    ServingClass,
    probe_set_digest,
)


class Verb(StrEnum):
    """What is done with a probe's answers."""

    RECORD = "record"
    COMPARE = "compare"
    REBASELINE = "rebaseline"


@dataclass(frozen=True, slots=True)
class Judged:
    """Whether the answers are to be kept, and what they were compared with."""

    keep: bool
    comparison: Comparison | None = None
    against: ServingClass | None = None

    @property
    def passes(self) -> bool:
        """Whether nothing speaks against the replica."""
        return self.comparison is None or self.comparison.grade is not Grade.DIFFERENT


def baseline(
    known: Sequence[Fingerprint], serving_class: ServingClass, probe_set: str | None = None
) -> Fingerprint | None:
    """Return what a replica of a class is compared with, the newest first of each kind.

    That of its own class; else one of another known class; else that of the engine alone. Those
    with log-probabilities come first: by tokens alone two classes can hardly be compared.
    """
    fitting = [k for k in reversed(known) if probe_set in (None, k.probe_set)]
    own = [k for k in fitting if k.serving_class == serving_class]
    if serving_class.is_known and own:
        return own[0]
    ranked = sorted(fitting, key=lambda k: (not k.serving_class.is_known, not k.has_logprobs))
    return ranked[0] if ranked else None


def probes_for(
    verb: Verb,
    known: Sequence[Fingerprint],
    serving_class: ServingClass,
    wanted: Sequence[Asked],
) -> tuple[Asked, ...]:
    """Return what to ask: a comparison asks what was asked before, a recording what is wanted."""
    if verb is Verb.RECORD:
        return tuple(wanted)
    if verb is Verb.REBASELINE and not any(k.serving_class.is_known for k in known):
        raise RegistryRefused(
            "FINGERPRINT_NONE_BEFORE",
            "no serving class has a fingerprint yet",
            "`permafrost model fingerprint record` makes the first",
        )
    before = baseline(known, serving_class)
    if before is None:
        raise RegistryRefused(
            "FINGERPRINT_MISSING",
            "the checkpoint has no fingerprint to compare with",
            "`permafrost model fingerprint record` makes one",
        )
    return tuple(answer.asked for answer in before.answers)


def asked_first(
    verb: Verb,
    known: Sequence[Fingerprint],
    serving_class: ServingClass,
    wanted: Sequence[Asked],
) -> tuple[Asked, ...]:
    """Return the probes that must get their known answers before others are recorded."""
    own = [k for k in known if k.serving_class == serving_class and serving_class.is_known]
    wanted_set = probe_set_digest(tuple(wanted))
    if verb is not Verb.RECORD or not own or any(k.probe_set == wanted_set for k in own):
        return ()
    return tuple(answer.asked for answer in own[-1].answers)


def judge(verb: Verb, known: Sequence[Fingerprint], seen: Fingerprint) -> Judged:
    """Return what becomes of a replica's answers. Refused where they may not be kept."""
    before = baseline(known, seen.serving_class, seen.probe_set)
    comparison = compare(before, seen) if before else None
    judged = Judged(False, comparison, before.serving_class if before else None)
    if verb is Verb.COMPARE:
        return judged
    _require_class(seen)
    others = [k for k in known if k.serving_class.is_known]
    is_new_class = all(k.serving_class != seen.serving_class for k in others)
    if verb is Verb.RECORD and others and is_new_class:
        raise RegistryRefused(
            "FINGERPRINT_NEW_CLASS",
            "another serving class is recorded; it differs in "
            + ", ".join(others[-1].serving_class.differences(seen.serving_class)),
            "`permafrost model fingerprint rebaseline` compares the two and records this one",
        )
    if comparison and comparison.grade is Grade.DIFFERENT:
        raise RegistryError(
            "FINGERPRINT_DIFFERENT",
            f"this replica does not answer as recorded: {comparison.difference} "
            f"({comparison.why})",
            "nothing was recorded; keep it out of rotation and find out why",
        )
    return Judged(comparison is None or not comparison.same_class, comparison, judged.against)


def _require_class(seen: Fingerprint) -> None:
    if not seen.serving_class.is_known:
        raise RegistryRefused(
            "SERVING_CLASS_UNKNOWN",
            "the replica does not know the engine's image",
            "`permafrost converge` tells it",
        )
