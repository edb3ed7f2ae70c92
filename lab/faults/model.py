"""A kind of fault as a value: what it does, which options it knows, and its three functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lab.errors import LabError
from lab.instance.model import Instance

Options = Mapping[str, str]
Undo = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault.

    ``prepare`` checks target and options and returns what applying and healing need, before
    anything is done; ``apply`` and ``heal`` may each be repeated, and ``heal`` also undoes a
    fault that was applied half way. ``options`` are names with their defaults. Of a kind that
    ``lasts`` only one can be active on a target.
    """

    about: str
    prepare: Callable[[Instance, str, Options], dict[str, str]]
    apply: Callable[[Instance, str, Undo], None]
    heal: Callable[[Instance, str, Undo], None]
    options: Mapping[str, str] = field(default_factory=dict)
    lasts: bool = True

    def chosen(self, name: str, given: Options) -> dict[str, str]:
        """Return the options with their defaults. Raises LabError for one that is unknown."""
        unknown = sorted(set(given) - set(self.options))
        if unknown:
            known = ", ".join(f"{k}={v}" for k, v in self.options.items())
            raise LabError(
                "FAULT_OPTION_UNKNOWN",
                f"{name} knows no option {', '.join(unknown)}",
                f"it knows: {known}" if known else "it has none",
            )
        return {**self.options, **given}


def nothing(instance: Instance, target: str, undo: Undo) -> None:
    """Healing is another's work: who wants the machine back switches it on in vCenter."""


def number(options: Options, name: str, low: float, high: float) -> float:
    """Return an option as a number. Raises LabError when it is none, or outside its range."""
    try:
        value = float(options[name])
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise LabError(
            "FAULT_OPTION_INVALID",
            f"{name}={options[name]} must be a number from {low:g} to {high:g}",
            "`permafrost-lab fault list` shows each option's default",
        )
    return value


def one_of(options: Options, name: str, *allowed: str) -> str:
    """Return an option that is one of a few words. Raises LabError when it is another."""
    if options[name] not in allowed:
        raise LabError(
            "FAULT_OPTION_INVALID",
            f"{name}={options[name]} must be {' or '.join(allowed)}",
            "`permafrost-lab fault list` shows each option's default",
        )
    return options[name]
