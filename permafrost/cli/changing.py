"""The course of a command that changes the site: plan, show, confirm, carry out, report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from permafrost.cli.options import Output
from permafrost.cli.session import confirm, open_site, print_json, require_answer

if TYPE_CHECKING:
    from permafrost.planning.steps import OperationPlan
    from permafrost.runbook.context import Context
    from permafrost.runbook.execution import RunResult


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options of such a command say."""

    site: Path | None
    yes: bool
    plan_only: bool
    output: Output

    @property
    def asks_nobody(self) -> bool:
        """Whether no question is asked: then one plan, made while the site is held, will do."""
        return self.yes and not self.plan_only

    def require_answer(self) -> None:
        """Raise UsageError when something is to be changed and nobody could be asked."""
        if not self.plan_only:
            require_answer(self.yes)

    def agree(
        self,
        show: Callable[[], None],
        document: Callable[[], dict[str, Any]],
        question: str,
        *,
        is_empty: bool = False,
    ) -> bool:
        """Show a plan and ask about it; return False where only the plan was asked for.

        A program is given the ``document`` where that is all it asked for. A plan that is empty
        is not asked about. Raises Refused when the answer is no.
        """
        if self.output is Output.TEXT:
            show()
        if self.plan_only:
            if self.output is Output.JSON:
                print_json(document())
            return False
        confirm(question, self.yes or is_empty)
        return True


def change(
    command: str,
    target: str,
    asked: Asked,
    preview: Callable[[Context, str], OperationPlan],
    execute: Callable[[Context, str, str], RunResult],
) -> tuple[Context, RunResult] | None:
    """Show the plan, and carry it out unless only the plan was asked for (None).

    ``execute`` is given the fingerprint of the plan that was shown: a stale one is refused. Where
    nobody is asked, the plan is made once, while the site is held, and carried out.
    """
    asked.require_answer()
    from permafrost.runbook.execution import carry_out
    from permafrost.runbook.operations import operator, site_held
    from permafrost.runbook.recovery import require_nothing_unfinished, require_turn

    ctx = open_site(asked.site)
    if not asked.plan_only:
        require_turn(ctx, f"{command} {target}")
    if asked.asks_nobody:
        with site_held(ctx, f"{command} {target}"):
            made = preview(ctx, target)
            if asked.output is Output.TEXT:
                show_steps(made)
            require_nothing_unfinished(ctx, f"{command} {target}")
            return ctx, carry_out(ctx, made, owner=operator())
    made = preview(ctx, target)
    question, is_empty = f"Do these {len(made.steps)} steps?", not made.steps
    if not asked.agree(lambda: show_steps(made), made.as_dict, question, is_empty=is_empty):
        return None
    with site_held(ctx, f"{command} {target}"):
        require_nothing_unfinished(ctx, f"{command} {target}")
        return ctx, execute(ctx, target, made.fingerprint)


def show_steps(made: OperationPlan) -> None:
    """Show a plan to a person; what draws it is imported only then."""
    from permafrost.cli.render_operations import show_operation_plan

    show_operation_plan(made)


def report(
    command: str, target: str, asked: Asked, done: RunResult, now: str, more: dict[str, str]
) -> None:
    """Say what was done; ``now`` is what holds of the target, ``more`` what else JSON tells."""
    changed = sum(r.changed for r in done.results)
    if asked.output is Output.JSON:
        print_json(
            {
                "schema": 1,
                "command": command,
                "target": target,
                **more,
                "operation": done.operation or None,
                "changed": changed,
                "steps": [r.as_dict() for r in done.results],
                "receipt": done.receipt or None,
            }
        )
        return
    from permafrost.cli.screen import line

    if not done.operation:
        line(f"{target}: nothing to do")
    else:
        line(f"{target} {now}: {changed} steps done. Receipt: {done.receipt}")
