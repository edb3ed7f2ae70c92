"""A typed ``pulumi up`` builds upon no drift that ``permafrost deploy`` would not build upon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from permafrost.engine.observe import observe_machines
from permafrost.errors import Failed
from permafrost.planning.drift_report import BY_REFRESH, blocks_deploy
from permafrost.runbook.drift import drift_of, refuse
from permafrost.wiring import open_context

if TYPE_CHECKING:
    from permafrost.site.load import LoadedSite


def require_no_drift(loaded: LoadedSite) -> None:
    """Raise Refused for drift that no deployment mends; a command of ours has looked before."""
    context = open_context(loaded.path)
    if context.lock_token is not None:
        return
    live = observe_machines(context.hypervisor)
    if live.blind:
        raise Failed(*live.blind)
    drift = drift_of(context, live)
    refuse(blocks_deploy(drift))
    for each in drift:
        if each.code in BY_REFRESH:
            pulumi.log.warn(f"{each}; `pulumi up --refresh` sees and mends it")
