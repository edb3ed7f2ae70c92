"""Do two fingerprints show the same behaviour? A pure function of the two.

Of one serving class the same bytes must give the same tokens and, to the last digits, the same
log-probabilities: anything else is a difference. Of another class (other engine, GPU, driver …)
sums are taken in another order, so log-probabilities move, and where two tokens are about as
likely as each other, either may be chosen. Behind such a fork the two texts are no longer about
the same thing, and nothing is compared.

How far two positions are apart is the expected difference of the log-probability of a token,
over the likeliest ones (in nat). The bounds were measured on a 135M model of four bits, where
such effects are large (docs/runbook/model-fingerprint.md): other attention kernels, cache types
and batch shapes of one engine stay near half of them, a derived model and other quantisations
are beyond twice the mean.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from model_registry.errors import RegistryRefused
from model_registry.fingerprint.document import Answered, Fingerprint, TopLogprobs

SAME_NAT = 1e-5
"""What a number may lose on its way through JSON: below it, log-probabilities are equal."""
MEAN_BOUND_NAT = 0.05
"""How far apart positions may be in another serving class, on average over all compared."""
BOUND_NAT = 0.5
"""How far apart any one position may be, and two tokens that count as equally likely."""
_Item = TypeVar("_Item")
LEAST_COMPARED = 0.5
"""The share of recorded positions that must be comparable for two classes to be equivalent."""


class Grade(StrEnum):
    """How alike two behaviours are."""

    IDENTICAL = "identical"
    EQUIVALENT = "equivalent"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where two fingerprints part; a token is None where an answer had ended.

    ``off_nat`` is how far the log-probabilities were apart there, None where there were none.
    """

    prompt: str
    position: int
    expected: int | None
    seen: int | None
    off_nat: float | None

    def __str__(self) -> str:
        words = f"prompt {self.prompt}, position {self.position}: "
        if self.expected != self.seen:
            words += f"expected token {_token(self.expected)}, seen {_token(self.seen)}"
        else:
            words += f"token {_token(self.expected)} in both"
        return words + (f", {self.off_nat:.3g} nat apart" if self.off_nat is not None else "")


@dataclass(frozen=True, slots=True)
class Comparison:
    """A grade with its evidence."""

    grade: Grade
    same_class: bool
    difference: Difference | None
    mean_off_nat: float | None
    largest_off_nat: float | None
    compared: int
    positions: int
    why: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "grade": self.grade.value,
            "same_class": self.same_class,
            "first_difference": asdict(self.difference) if self.difference else None,
            "mean_off_nat": self.mean_off_nat,
            "largest_off_nat": self.largest_off_nat,
            "compared": self.compared,
            "positions": self.positions,
            "why": self.why,
        }


@dataclass(slots=True)
class _Evidence:
    """What has been seen so far: the first place that is not equal, the first beyond the bound."""

    compared: int = 0
    off: list[float] = field(default_factory=list)
    unequal: Difference | None = None
    beyond: Difference | None = None

    @property
    def mean(self) -> float | None:
        return sum(self.off) / len(self.off) if self.off else None

    def at(self, difference: Difference, *, is_beyond: bool) -> None:
        self.unequal = self.unequal or difference
        if is_beyond:
            self.beyond = self.beyond or difference


def compare(recorded: Fingerprint, seen: Fingerprint) -> Comparison:
    """Return how ``seen`` compares with what was recorded.

    Raises RegistryRefused where they answer different probe sets: that can be compared only by
    asking again.
    """
    if recorded.probe_set != seen.probe_set:
        raise RegistryRefused(
            "PROBE_SETS_DIFFER",
            f"recorded answers {recorded.probe_set}, seen {seen.probe_set}",
            "probe again with the recorded set",
        )
    evidence = _Evidence()
    for expected, given in zip(recorded.answers, seen.answers, strict=True):
        _one(expected, given, evidence)
    same_class = recorded.serving_class.is_known and recorded.serving_class == seen.serving_class
    positions = sum(len(a.token_ids) for a in recorded.answers)
    grade, why = _grade(evidence, positions, same_class)
    return Comparison(
        grade=grade,
        same_class=same_class,
        difference=(evidence.beyond or evidence.unequal),
        mean_off_nat=evidence.mean,
        largest_off_nat=max(evidence.off, default=None),
        compared=evidence.compared,
        positions=positions,
        why=why,
    )


def _grade(evidence: _Evidence, positions: int, same_class: bool) -> tuple[Grade, str]:
    if not positions:
        return Grade.DIFFERENT, "nothing was recorded"
    if evidence.unequal is None:
        return Grade.IDENTICAL, ""
    if same_class:
        return Grade.DIFFERENT, "one serving class must answer identically"
    if evidence.beyond is not None:
        return Grade.DIFFERENT, "beyond the bound for another serving class"
    if evidence.mean is not None and evidence.mean > MEAN_BOUND_NAT:
        return Grade.DIFFERENT, "beyond the bound for another serving class, on average"
    if evidence.compared < LEAST_COMPARED * positions:
        share = f"{evidence.compared} of {positions}"
        return Grade.DIFFERENT, f"too little could be compared: {share} positions"
    return Grade.EQUIVALENT, ""


def _one(expected: Answered, given: Answered, evidence: _Evidence) -> None:
    """Compare one answer up to the place where the two texts fork."""
    for place in range(max(len(expected.token_ids), len(given.token_ids))):
        wanted, got = _at(expected.token_ids, place), _at(given.token_ids, place)
        one, other = _at(expected.top_logprobs, place), _at(given.top_logprobs, place)
        off = _off(one, other) if one and other else None
        if off is not None:
            evidence.off.append(off)
        difference = Difference(expected.asked.id, place, wanted, got, off)
        if wanted != got:
            tie = one and other and wanted is not None and got is not None
            is_tie = bool(tie) and all(_is_tie(top, wanted, got) for top in (one, other))
            evidence.at(difference, is_beyond=not is_tie or (off or 0.0) > BOUND_NAT)
            return
        evidence.compared += 1
        if one and other and not _is_equal(one, other):
            evidence.at(difference, is_beyond=(off or 0.0) > BOUND_NAT)


def _is_tie(top: TopLogprobs | None, one: int | None, other: int | None) -> bool:
    """Whether two tokens are about as likely as each other."""
    likely = dict(top or ())
    if one not in likely or other not in likely:
        return False
    return abs(likely[one] - likely[other]) <= BOUND_NAT


def _is_equal(one: TopLogprobs, other: TopLogprobs) -> bool:
    """Whether two positions say the same; equally likely tokens may be listed in any order."""
    mine, theirs = dict(one), dict(other)
    return mine.keys() == theirs.keys() and all(
        abs(logprob - theirs[token]) <= SAME_NAT for token, logprob in mine.items()
    )


def _off(one: TopLogprobs, other: TopLogprobs) -> float:
    """Return the expected difference of a token's log-probability, taken from both sides.

    A token in only one of the two lists is at most as likely, in the other, as that one's last.
    """
    return (_beside(one, other) + _beside(other, one)) / 2


def _beside(top: TopLogprobs, other: TopLogprobs) -> float:
    known, least = dict(other), other[-1][1]
    return sum(
        math.exp(logprob) * abs(logprob - known.get(token, min(least, logprob)))
        for token, logprob in top
    )


def _at(values: tuple[_Item, ...], place: int) -> _Item | None:
    return values[place] if place < len(values) else None


def _token(token: int | None) -> str:
    return "the end" if token is None else str(token)
