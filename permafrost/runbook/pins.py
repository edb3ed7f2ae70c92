"""What a site pins must be in its registry: whole to look at, and signed where it must be."""

from __future__ import annotations

from permafrost.errors import Problem, Refused
from permafrost.facts import CheckpointFacts
from permafrost.runbook.context import Context
from permafrost.site.model import Site
from permafrost.site.pins import images_of

DEPLOY = "deploy"


def require_pins(ctx: Context) -> dict[str, CheckpointFacts]:
    """Return the checkpoints by endpoint; refuse, all at once, what the registry lacks."""
    problems: list[Problem] = []
    found: dict[str, CheckpointFacts] = {}
    for name, endpoint in sorted(ctx.site.inference.items()):
        where = f"inference.{name}"
        try:
            facts = found[name] = ctx.catalog.resolve(endpoint.model)
            if not facts.has_fingerprint:
                problems.append(_without_fingerprint(endpoint.model, f"{where}.model"))
            problems += _unsigned(ctx.site, name, facts, endpoint.model)
        except Refused as error:
            problems += [
                Problem(p.code, p.message, f"{where}.model", p.hint) for p in error.problems
            ]
        problems += _without_images(ctx, f"{where}.")
    problems += _without_images(ctx, "knowledge.")
    if problems:
        raise Refused(*problems)
    return found


def require_candidate(ctx: Context, endpoint: str, model: str) -> CheckpointFacts:
    """Return a checkpoint that an endpoint may get; refuse, all at once, what it lacks."""
    facts = ctx.catalog.resolve(model)
    problems = _unsigned(ctx.site, endpoint, facts, model)
    if not facts.has_fingerprint:
        problems.append(_without_fingerprint(model, endpoint))
    if problems:
        raise Refused(*problems)
    return facts


def require_signed(ctx: Context, endpoint: str) -> None:
    """Refuse a checkpoint without the signature that the site demands before it is deployed."""
    if _is_demanded(ctx.site):
        model = ctx.site.inference[endpoint].model
        if problems := _unsigned(ctx.site, endpoint, ctx.catalog.resolve(model), model):
            raise Refused(*problems)


def _without_images(ctx: Context, place: str) -> list[Problem]:
    """Return the images pinned below a place of the site file that the registry lacks."""
    return [
        Problem(
            "IMAGE_MISSING",
            f"the registry has no {pin}",
            path,
            "push it there, or correct the pin",
        )
        for path, pin in images_of(ctx.site)
        if path.startswith(place) and not ctx.catalog.has_image(pin)
    ]


def _is_demanded(site: Site) -> bool:
    wanted = site.registry.signatures
    return wanted is not None and DEPLOY in wanted.required_for


def _without_fingerprint(model: str, where: str) -> Problem:
    return Problem(
        "FINGERPRINT_MISSING",
        f"{model} has no recorded fingerprint: nothing could admit it",
        where,
        "record one and push it beside the checkpoint",
    )


def _unsigned(site: Site, endpoint: str, facts: CheckpointFacts, model: str) -> list[Problem]:
    wanted = site.registry.signatures
    if wanted is None or not _is_demanded(site) or facts.signed_by:
        return []
    names = ", ".join(sorted(wanted.signers))
    where = f"inference.{endpoint}.model"
    if not facts.signatures:
        return [
            Problem(
                "SIGNATURE_MISSING",
                f"{model} is not signed in the registry; {names} must have signed it",
                where,
                "`permafrost model sign` it with that key and `model push` it",
            )
        ]
    return [
        Problem(
            "SIGNATURE_UNTRUSTED",
            f"no signature of {model} holds for {names}: {'; '.join(facts.unsigned_why)}",
            where,
            "sign it with that key, push it, and find out who signed it otherwise",
        )
    ]
