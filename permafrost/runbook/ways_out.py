"""How an operation that is not over can be ended, in the words of a hint.

Steps and adapters know neither the operation they work for nor whether it is being taken back:
what they say of `resume` and `abort` is said of that operation, and as it can be followed.
"""

from __future__ import annotations

from dataclasses import replace

from permafrost.engine.runs import Run
from permafrost.errors import PermafrostError
from permafrost.planning.lifecycle import is_automatic


def ways_out(run: Run) -> str:
    """Return both ways out; the one that is left once the way back was begun."""
    if run.back is not None:
        return f"`permafrost abort {run.operation}` goes on taking it back"
    return (
        f"`permafrost resume {run.operation}` finishes it, "
        f"`permafrost abort {run.operation}` takes it back"
    )


def tell(run: Run, error: PermafrostError) -> None:
    """Have the hints of an error that ended a person's operation name it, and the way on."""
    if is_automatic(run.owner):
        return  # a part of something else: what goes on with that is another command
    on = f"`permafrost {'abort' if run.back is not None else 'resume'} {run.operation}`"
    said = {
        f"`permafrost resume {run.operation}`": on,
        "`permafrost resume`": on,
        "`permafrost abort`": f"`permafrost abort {run.operation}`",
    }
    problems = []
    for problem in error.problems:
        hint = problem.hint
        for words, instead in said.items():
            hint = hint.replace(words, instead)
        problems.append(replace(problem, hint=hint))
    error.problems = tuple(problems)
    error.args = ("\n".join(str(p) for p in problems),)
