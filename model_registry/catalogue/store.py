"""The catalogue: what is registered, in which stage, and every event that made it so."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.exc import DatabaseError

from model_registry.catalogue import projection
from model_registry.catalogue.chain import Event, Head, append, read
from model_registry.catalogue.clock import utc_now
from model_registry.catalogue.database import open_database, unusable
from model_registry.catalogue.model import (
    MovePlan,
    Stage,
    Verb,
    Version,
    check_name,
    check_version,
)
from model_registry.catalogue.schema import lineage as lineage_table
from model_registry.catalogue.schema import pins, versions
from model_registry.catalogue.stages import plan_move
from model_registry.digests import check as check_digest
from model_registry.errors import RegistryRefused


class Catalogue:
    """One catalogue file; safe across processes."""

    def __init__(self, path: Path, *, who: str, now: Callable[[], datetime] = utc_now) -> None:
        self.path = path
        self._engine = open_database(path)
        self._who = who
        self._now = now

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except DatabaseError as error:  # disk full, held for too long, broken
            raise unusable(self.path, error) from error

    def versions(self, name: str | None = None) -> tuple[Version, ...]:
        """Return the versions of a name, or all, in the order in which they were added."""
        with self._transaction() as connection:
            return _versions(connection, name)

    def version(self, name: str, version: str) -> Version:
        """Return one version. Refused where there is none."""
        return _named(self.versions(name), name, version)

    def holder(self, name: str, stage: Stage) -> Version | None:
        """Return the version that is staging or production."""
        return next((v for v in self.versions(name) if v.stage is stage), None)

    def register(
        self,
        name: str,
        version: str,
        digest: str,
        *,
        why: str = "",
        unsafe: Sequence[str] = (),
        lineage: dict[str, Any] | None = None,
        source: str = "add",
    ) -> bool:
        """Make a version visible as a candidate; its content must be whole by now.

        The same bytes again change nothing (returns False); other bytes are refused.
        """
        check_name(name)
        check_version(version)
        check_digest(digest)
        with self._transaction() as connection:
            known = next((v for v in _versions(connection, name) if v.version == version), None)
            if known is not None and known.digest != digest:
                raise RegistryRefused(
                    "VERSION_IMMUTABLE",
                    f"{known.label} is {known.digest}, these bytes are {digest}",
                    "give the new bytes a new version",
                )
            body: dict[str, Any] = {"name": name, "version": version, "digest": digest}
            if known is None:
                details = {"unsafe": list(unsafe), "source": source, "lineage": lineage}
                self._happened(connection, "add", {**body, **details}, why)
            elif not known.is_present:
                self._happened(connection, "restore", body, why)
            return known is None or not known.is_present

    def plan(self, name: str, version: str, verb: Verb) -> MovePlan:
        """Return what a promotion, demotion or retirement would do. Refused where it cannot be."""
        of_name = self.versions(name)
        _named(of_name, name, version)
        return plan_move(of_name, version, verb)

    def carry_out(self, plan: MovePlan, *, why: str) -> Event:
        """Do what a plan says, or refuse with STAGE_CHANGED where it no longer holds."""
        with self._transaction() as connection:
            of_name = _versions(connection, plan.name)
            try:
                holds = plan_move(of_name, plan.version, plan.verb) == plan
            except (RegistryRefused, StopIteration):
                holds = False
            if not holds:
                raise RegistryRefused(
                    "STAGE_CHANGED",
                    f"the stages of {plan.name} changed since the plan was made",
                    "look at them again: `history` says who was faster",
                )
            moves = [move.as_dict() for move in plan.moves]
            body = {"name": plan.name, "verb": plan.verb.value, "moves": moves}
            return self._happened(connection, "stage", body, why)

    def note_signature(self, version: Version, signature: str, *, why: str) -> Event:
        """Note that a version was signed; ``signature`` is the digest of what holds it."""
        body = {"name": version.name, "version": version.version, "digest": version.digest}
        with self._transaction() as connection:
            return self._happened(connection, "sign", {**body, "signature": signature}, why)

    def lineages(self) -> dict[str, dict[str, Any]]:
        """Return the lineage of each checkpoint that has one, by digest."""
        with self._transaction() as connection:
            rows = connection.execute(select(lineage_table)).all()
        return {r.digest: json.loads(r.document) for r in rows}

    def pins(self) -> dict[str, dict[str, str]]:
        """Return who pins what: owner, reference, digest."""
        found: dict[str, dict[str, str]] = {}
        with self._transaction() as connection:
            for r in connection.execute(select(pins).order_by(pins.c.owner, pins.c.reference)):
                found.setdefault(r.owner, {})[r.reference] = r.digest
        return found

    def pin(self, owner: str, wanted: Mapping[str, str], *, why: str = "") -> bool:
        """Let an owner pin exactly these references; what is pinned is never collected."""
        with self._transaction() as connection:
            rows = connection.execute(select(pins).where(pins.c.owner == owner)).all()
            before = {r.reference: r.digest for r in rows}
            if before == wanted:
                return False
            present = {v.digest for v in _versions(connection, None) if v.is_present}
            if missing := sorted(set(wanted.values()) - present - set(before.values())):
                raise RegistryRefused(
                    "PIN_UNKNOWN",
                    f"no version with content has digest {missing[0]}",
                    "`permafrost model list` shows digests; pull or import it first",
                )
            dropped = sorted(before.keys() - wanted.keys())
            body = {"owner": owner, "pins": dict(wanted), "dropped": dropped}
            self._happened(connection, "pin", body, why)
            return True

    def collect(self, gone: Collection[Version], *, why: str) -> None:
        """Note that the content of versions is about to be removed; refused where one is held."""
        with self._transaction() as connection:
            held = set(connection.execute(select(pins.c.digest)).scalars())
            now = {(v.name, v.version): v for v in _versions(connection, None)}
            for version in gone:
                known = now[version.name, version.version]
                if known.stage is not Stage.RETIRED or known.digest in held:
                    raise RegistryRefused(
                        "COLLECT_HELD",
                        f"{version.label} is {known.stage.value} or pinned",
                        "demote it, or take it out of the site file, then collect again",
                    )
            names = [[v.name, v.version] for v in gone]
            self._happened(connection, "collect", {"versions": names}, why)

    def events(self) -> tuple[Event, ...]:
        """Return all that ever happened, oldest first."""
        with self._transaction() as connection:
            return read(connection)

    def head(self) -> Head | None:
        """Return the last event, to be kept elsewhere; None while nothing happened."""
        events = self.events()
        return Head(events[-1].seq, events[-1].hash) if events else None

    def tables(self) -> tuple[tuple[Event, ...], projection.Tables]:
        """Return events and tables as one moment saw them, for the audit."""
        with self._transaction() as connection:
            return read(connection), projection.stored(connection)

    def _happened(
        self, connection: Connection, kind: str, body: dict[str, Any], why: str
    ) -> Event:
        event = append(connection, now=self._now(), who=self._who, why=why, kind=kind, body=body)
        projection.write(connection, event)
        return event


def _versions(connection: Connection, name: str | None) -> tuple[Version, ...]:
    query = select(versions).order_by(versions.c.name, versions.c.added_at, versions.c.version)
    if name is not None:
        query = query.where(versions.c.name == name)
    return tuple(
        Version(
            r.name,
            r.version,
            r.digest,
            Stage(r.stage),
            bool(r.present),
            tuple(r.unsafe.split("\n")) if r.unsafe else (),
            r.added_at,
        )
        for r in connection.execute(query)
    )


def _named(of_name: Sequence[Version], name: str, version: str) -> Version:
    found = next((v for v in of_name if v.version == version), None)
    if found is None:
        known = ", ".join(v.version for v in of_name)
        raise RegistryRefused(
            "VERSION_UNKNOWN",
            f"there is no {name}:{version}",
            f"known are: {known}" if known else "`list` shows what there is",
        )
    return found
