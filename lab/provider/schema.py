"""What properties a resource type has, and what each may be.

A schema drives Check (defaults, coercion, failures), the planned state of a preview, and the
differences that Diff reports; a resource type only adds what no table can say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """Kinds of value."""

    STRING = "string"
    INT = "int"
    BOOL = "bool"
    LIST = "list"
    SET = "set"
    MAP = "map"
    OBJECT = "object"


@dataclass(frozen=True)
class Prop:
    """One property.

    `computed`: vCenter decides where the program says nothing. `output`: no input at all.
    `default`: filled in by Check, and named in its list of defaults. `implied`: known to be the
    value where nothing is said, without Check writing it down.
    """

    kind: Kind
    required: bool = False
    computed: bool = False
    output: bool = False
    default: Any = None
    implied: Any = None
    replaces: bool = False
    choices: tuple[str, ...] = ()
    length: tuple[int, int] | None = None
    needs: str = ""
    conflicts: str = ""
    terraform: str = ""
    fields: Mapping[str, Prop] = field(default_factory=dict)

    @property
    def is_collection(self) -> bool:
        """Say whether an empty value and none are the same thing to vCenter."""
        return self.kind in (Kind.LIST, Kind.SET, Kind.MAP)


Schema = Mapping[str, Prop]


def terraform_name(key: str, prop: Prop | None = None) -> str:
    """Return the name that error messages use: snake case, lists in the singular."""
    if prop is not None and prop.terraform:
        return prop.terraform
    return re.sub(r"([A-Z])", lambda m: "_" + m.group(1).lower(), key)


def text(**options: Any) -> Prop:
    """Return a string property."""
    return Prop(Kind.STRING, **options)


def whole(**options: Any) -> Prop:
    """Return a number property."""
    return Prop(Kind.INT, **options)


def flag(**options: Any) -> Prop:
    """Return a true-or-false property."""
    return Prop(Kind.BOOL, **options)


def texts(**options: Any) -> Prop:
    """Return a property that is a list of strings."""
    return Prop(Kind.LIST, **options)


def text_set(**options: Any) -> Prop:
    """Return a property that is a set of strings: order says nothing."""
    return Prop(Kind.SET, **options)


def mapping(**options: Any) -> Prop:
    """Return a property that maps strings to strings."""
    return Prop(Kind.MAP, **options)


def objects(fields: Mapping[str, Prop], **options: Any) -> Prop:
    """Return a property that is a list of objects."""
    return Prop(Kind.LIST, fields=fields, **options)


def single(fields: Mapping[str, Prop], **options: Any) -> Prop:
    """Return a property that is one object."""
    return Prop(Kind.OBJECT, fields=fields, **options)
