"""Which moves between stages there are: candidate → staging → production → retired.

A plan is made from the versions as they are and made again when it is carried out; where the two
differ, somebody was faster, and nothing is done.
"""

from __future__ import annotations

from collections.abc import Sequence

from model_registry.catalogue.model import Move, MovePlan, Stage, Verb, Version
from model_registry.errors import RegistryRefused

_TARGETS: dict[Verb, dict[Stage, Stage]] = {
    Verb.PROMOTE: {
        Stage.CANDIDATE: Stage.STAGING,
        Stage.STAGING: Stage.PRODUCTION,
        Stage.RETIRED: Stage.STAGING,
    },
    Verb.DEMOTE: {Stage.PRODUCTION: Stage.STAGING, Stage.STAGING: Stage.CANDIDATE},
    Verb.RETIRE: {Stage.CANDIDATE: Stage.RETIRED, Stage.STAGING: Stage.RETIRED},
}
_HINTS = {
    Verb.PROMOTE: "it is as far as it can be",
    Verb.DEMOTE: "candidate is the lowest stage; retire it instead",
    Verb.RETIRE: "promote another version over it, or demote it first",
}
# Where the version goes that held the stage
_DISPLACED = {Stage.STAGING: Stage.CANDIDATE, Stage.PRODUCTION: Stage.RETIRED}


def plan_move(of_name: Sequence[Version], version: str, verb: Verb) -> MovePlan:
    """Return what ``verb`` does to a version; Refused where its stage does not allow it."""
    mine = next(v for v in of_name if v.version == version)
    target = _TARGETS[verb].get(mine.stage)
    if target is None:
        raise RegistryRefused(
            "STAGE_NOT_ALLOWED",
            f"{mine.label} is {mine.stage.value}: cannot {verb.value} it",
            _HINTS[verb],
        )
    if verb is Verb.PROMOTE and not mine.is_present:
        raise RegistryRefused(
            "CONTENT_COLLECTED",
            f"the content of {mine.label} was collected",
            "add or import the same files again",
        )
    moves = [Move(mine.version, mine.digest, mine.stage, target)]
    if target in _DISPLACED:
        moves[:0] = [
            Move(v.version, v.digest, v.stage, _DISPLACED[target])
            for v in of_name
            if v.stage is target
        ]
    return MovePlan(mine.name, version, verb, tuple(moves))
