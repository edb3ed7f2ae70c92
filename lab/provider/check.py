"""Check: fill in defaults, bring values into their kind, and say what is wrong with the rest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from lab.provider.errors import ProviderError
from lab.provider.schema import Kind, Prop, Schema, terraform_name
from lab.provider.values import DEFAULTS, UNKNOWN, Props, has_unknown

AUTONAME_DIGITS = 7


@dataclass
class Checked:
    """Inputs as the engine shall keep them, and the reasons why it must not go on."""

    inputs: Props
    failures: list[str] = field(default_factory=list)


@dataclass
class _Place:
    """Where in the inputs a value stands: once as the program says it, once as messages do."""

    pulumi: str
    terraform: str

    def key(self, name: str, prop: Prop | None) -> _Place:
        terraform = terraform_name(name, prop)
        return _Place(
            f"{self.pulumi}.{name}" if self.pulumi else name,
            f"{self.terraform}.{terraform}" if self.terraform else terraform,
        )

    def item(self, index: int) -> _Place:
        return _Place(f"{self.pulumi}[{index}]", f"{self.terraform}.{index}")


class _Checker:
    def __init__(self, resource: str) -> None:
        self.resource = resource
        self.failures: list[str] = []

    def fail(self, place: _Place, reason: str) -> None:
        self.failures.append(f"{reason}. Examine values at '{self.resource}.{place.pulumi}'.")

    def object(self, schema: Schema, news: Props, place: _Place) -> Props:
        out: Props = {}
        for key, value in news.items():
            prop = schema.get(key)
            if key == DEFAULTS or value is None:
                continue
            if prop is None or prop.output:
                self.fail(place.key(key, None), "Invalid or unknown key")
                out[key] = value
                continue
            coerced = self.value(prop, value, place.key(key, prop))
            if coerced is not None:
                out[key] = coerced
        defaults = []
        for key, prop in schema.items():
            if key in out or news.get(key) is not None:
                continue
            if prop.default is not None:
                out[key] = prop.default
                defaults.append(key)
            elif prop.required:
                at = place.key(key, prop)
                self.fail(
                    at,
                    f'Missing required argument. The argument "{at.terraform}" is required, '
                    "but no definition was found.",
                )
        self.together(schema, out, place)
        out[DEFAULTS] = sorted(defaults)
        return out

    def together(self, schema: Schema, out: Props, place: _Place) -> None:
        for key, prop in schema.items():
            if prop.needs and key in out and prop.needs not in out:
                name = terraform_name(key, prop)
                both = ",".join(sorted((name, terraform_name(prop.needs, schema[prop.needs]))))
                self.fail(
                    place.key(key, prop),
                    f'Missing required argument. "{name}": all of `{both}` must be specified',
                )
            if prop.conflicts and key in out and prop.conflicts in out:
                name = terraform_name(key, prop)
                other = terraform_name(prop.conflicts, schema[prop.conflicts])
                self.fail(
                    place.key(key, prop),
                    f'Conflicting configuration arguments. "{name}": conflicts with {other}',
                )

    def value(self, prop: Prop, value: Any, place: _Place) -> Any:
        if value == UNKNOWN:
            return value
        match prop.kind:
            case Kind.LIST | Kind.SET:
                items = value if isinstance(value, list) else [value]
                if prop.fields:
                    return [self.entry(prop, v, place.item(i)) for i, v in enumerate(items)]
                return [_as_text(v) for v in items]
            case Kind.OBJECT:
                return self.entry(prop, value, place)
            case Kind.MAP:
                return {k: _as_text(v) for k, v in value.items()}
        if isinstance(value, list | dict):
            what = "a list" if isinstance(value, list) else "a map"
            self.fail(place, f"Attribute must be a single value, not {what}")
            return value
        return self.scalar(prop, value, place)

    def entry(self, prop: Prop, value: Any, place: _Place) -> Any:
        if not prop.fields or not isinstance(value, dict):
            return value
        return self.object(prop.fields, value, place)

    def scalar(self, prop: Prop, value: Any, place: _Place) -> Any:
        match prop.kind:
            case Kind.INT:
                return _as_int(value, place)
            case Kind.BOOL:
                return value if isinstance(value, bool) else str(value).lower() == "true"
        shown = _as_text(value)
        if prop.choices and shown not in prop.choices:
            choices = " ".join(f'"{c}"' for c in prop.choices)
            self.fail(place, f"expected {place.terraform} to be one of [{choices}], got {shown}")
        if prop.length and not prop.length[0] <= len(shown) <= prop.length[1]:
            low, high = prop.length
            self.fail(
                place,
                f"expected length of {place.terraform} to be in the range ({low} - {high}), "
                f"got {shown}",
            )
        return shown


def check(schema: Schema, resource: str, olds: Props, news: Props, seed: bytes) -> Checked:
    """Return the inputs of `resource` with defaults filled in, and what is wrong with them."""
    checker = _Checker(resource)
    inputs = checker.object(schema, news, _Place("", ""))
    if "name" in schema and "name" not in inputs and not schema["name"].required:
        inputs["name"] = _automatic_name(resource, olds, seed)
        inputs[DEFAULTS] = sorted([*inputs[DEFAULTS], "name"])
    return Checked(inputs, checker.failures)


def _automatic_name(resource: str, olds: Props, seed: bytes) -> str:
    """Return the name of before, so that a resource keeps it, or a new one."""
    if "name" in olds.get(DEFAULTS, []) and not has_unknown(olds.get("name")):
        return str(olds["name"])
    digits = hashlib.sha256(seed + resource.encode()).hexdigest()
    return f"{resource}-{digits[:AUTONAME_DIGITS]}"


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _as_int(value: Any, place: _Place) -> int:
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            raise ProviderError(
                f'{place.terraform}: strconv.ParseInt: parsing "{value}": invalid syntax'
            ) from None
    return int(value)
