"""Commands that take one replica away and bring it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from permafrost.cli.changing import Asked, change, report, show_steps
from permafrost.cli.options import (
    ForceOption,
    Output,
    OutputOption,
    PlanOnlyOption,
    SiteOption,
    YesOption,
    finite,
)
from permafrost.cli.session import open_site, print_json
from permafrost.errors import Problem, UsageError

if TYPE_CHECKING:
    from permafrost.planning.drain import DrainPlan
    from permafrost.topology import Node

app = typer.Typer()
ReplicaArgument = Annotated[
    str, typer.Argument(help="A replica of the site, or a member of its knowledge tier.")
]


@app.command()
def drain(
    replica: ReplicaArgument,
    site: SiteOption = None,
    reason: Annotated[str, typer.Option("--reason", help="Kept with the declaration.")] = "",
    despite_drift: Annotated[
        bool, typer.Option("--despite-drift", help="Drain although vCenter is not as deployed.")
    ] = False,
    deadline_s: Annotated[
        float | None,
        typer.Option(
            "--deadline-s",
            min=0,
            callback=finite,
            help="Wait so long; default: the endpoint's own.",
        ),
    ] = None,
    cut: Annotated[
        bool, typer.Option("--cut", help="At the deadline end what is left, and count it.")
    ] = False,
    force: ForceOption = None,
    yes: YesOption = False,
    plan_only: PlanOnlyOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Take a replica out of rotation, losing no request."""
    asked = Asked(site, yes, plan_only, output)
    asked.require_answer()
    from permafrost.runbook.drain import drain_replica, preview_drain
    from permafrost.runbook.looking import as_replica, look_around
    from permafrost.runbook.member_drain import member_named
    from permafrost.runbook.operations import operator, site_held
    from permafrost.runbook.recovery import require_nothing_unfinished, require_turn

    ctx = open_site(site)
    if (member := member_named(ctx, replica)) is not None:
        if despite_drift or cut or deadline_s is not None or force is not None:
            raise UsageError(
                Problem(
                    "MEMBER_OPTION",
                    "of a member's drain only --reason is said",
                    replica,
                    "leave --despite-drift, --deadline-s, --cut and --force out",
                )
            )
        _drain_member(member, asked, reason)
        return
    if not plan_only:
        require_turn(ctx, f"drain {replica}")
    given: dict[str, Any] = {
        "owner": operator(),
        "reason": reason,
        "deadline_s": deadline_s,
        "cut": cut,
        "force": force,
    }
    looked: dict[str, Any] = {**given, "despite_drift": despite_drift}
    if asked.asks_nobody:
        with site_held(ctx, f"drain {replica}"):
            live = look_around(ctx, as_replica(ctx, replica))
            is_shown = output is Output.TEXT
            made, _ = preview_drain(ctx, replica, **looked, live=live, is_shown=is_shown)
            if is_shown:
                _show_drain(made)
            require_nothing_unfinished(ctx, f"drain {replica}")
            evidence = drain_replica(ctx, replica, **given, live=live)
    else:
        made, fingerprint = preview_drain(ctx, replica, **looked)
        if not asked.agree(
            lambda: _show_drain(made),
            lambda: made.as_dict(fingerprint),
            f"Drain {replica}?",
            is_empty=not made.steps,
        ):
            return
        with site_held(ctx, f"drain {replica}"):
            require_nothing_unfinished(ctx, f"drain {replica}")
            shown = fingerprint if output is Output.TEXT else None
            evidence = drain_replica(ctx, replica, **given, shown=shown)
    if output is Output.JSON:
        print_json(evidence.as_dict())
    elif evidence.changed:
        from permafrost.cli.screen import line

        note = f" ({evidence.note})" if evidence.note else ""
        ended = f", {evidence.idle_streams_ended} idle streams ended"
        ended = (ended if evidence.idle_streams_ended else "") + (
            f", {evidence.cut} cut" if evidence.cut else ""
        )
        line(
            f"{replica} is {evidence.state} after {evidence.waited_s:.1f} s, 0 in flight"
            f"{ended}{note}"
        )


@app.command()
def undrain(
    replica: ReplicaArgument,
    site: SiteOption = None,
    yes: YesOption = False,
    plan_only: PlanOnlyOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Bring a replica back into rotation, through its probe."""
    asked = Asked(site, yes, plan_only, output)
    asked.require_answer()
    from permafrost.planning.lookup import replica_named
    from permafrost.runbook.member_drain import member_named
    from permafrost.runbook.operations import operator, site_held
    from permafrost.runbook.recovery import require_nothing_unfinished, require_turn
    from permafrost.runbook.undrain import preview_undrain, undrain_replica

    ctx = open_site(site)
    if (member := member_named(ctx, replica)) is not None:
        _undrain_member(member, asked)
        return
    node = replica_named(ctx.site, replica)
    if not plan_only:
        require_turn(ctx, f"undrain {replica}")
    shown = None
    if not asked.asks_nobody:
        made = preview_undrain(ctx, node, owner=operator())
        question = f"Probe {replica} and bring it back into rotation?"
        is_empty = not made.steps
        if not asked.agree(lambda: show_steps(made), made.as_dict, question, is_empty=is_empty):
            return
        shown = made.fingerprint
    with site_held(ctx, f"undrain {replica}"):
        require_nothing_unfinished(ctx, f"undrain {replica}")
        evidence = undrain_replica(ctx, node, owner=operator(), shown=shown)
    if output is Output.JSON:
        print_json(evidence.as_dict())
        return
    from permafrost.cli.screen import line

    if evidence.changed:
        line(
            f"{replica} is {evidence.state} after {evidence.waited_s:.1f} s: {evidence.checkpoint}"
        )
    else:
        line(f"{replica}: nothing to do, {evidence.note}")


def _show_drain(made: DrainPlan) -> None:
    from permafrost.cli.render import show_drain_plan

    show_drain_plan(made)


def _drain_member(node: Node, asked: Asked, reason: str) -> None:
    from permafrost.runbook import member_drain
    from permafrost.runbook.operations import operator

    done = change(
        "drain",
        node.name,
        asked,
        lambda ctx, _: member_drain.preview_drain(ctx, node, owner=operator(), reason=reason),
        lambda ctx, _, shown: member_drain.drain_member(
            ctx, node, owner=operator(), reason=reason, shown=shown
        ),
    )
    if done is not None:
        report("drain", node.name, asked, done[1], "is DRAINED", {"state": "DRAINED"})


def _undrain_member(node: Node, asked: Asked) -> None:
    from permafrost.runbook import member_drain
    from permafrost.runbook.operations import operator

    done = change(
        "undrain",
        node.name,
        asked,
        lambda ctx, _: member_drain.preview_undrain(ctx, node),
        lambda ctx, _, shown: member_drain.undrain_member(
            ctx, node, owner=operator(), shown=shown
        ),
    )
    if done is not None:
        report("undrain", node.name, asked, done[1], "serves", {"state": "ADMITTED"})
