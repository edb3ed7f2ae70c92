"""Milvus as the port ``VectorStore``: one proxy at a time, and each member's own view."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from permafrost.adapters.milvus import questions
from permafrost.adapters.milvus.access import settle_access
from permafrost.adapters.milvus.session import (
    FIRST_PASSWORD,
    ROOT,
    MilvusRefusedError,
    connected,
    refused,
    translated,
)
from permafrost.adapters.ssh import SshShell
from permafrost.engine.secrets import own_secret
from permafrost.errors import Failed, PermafrostError, Problem
from permafrost.facts import CanaryAnswers, MemberState
from permafrost.planning.knowledge import milvus_of, proxies
from permafrost.site.load import LoadedSite

COMMAND = ("sudo", "-n", "/usr/local/sbin/permafrost-knowledge")
STATE_S = 25.0
ROOT_SECRET = "milvus-root"  # noqa: S105  (the name of a file)
OBJECT_STORE_SECRET = "object-store"  # noqa: S105  (the name of a file)
REPLICAS = 2


class MilvusStore:
    """The real store. Everything goes over SSH: the walls let nobody else but edges in."""

    def __init__(self, loaded: LoadedSite, shell: SshShell, ca: Path) -> None:
        self._loaded = loaded
        self._shell = shell
        self._ca = ca

    def state(self, member: str) -> MemberState:
        """Return one member's view."""
        done = self._shell.run(member, (*COMMAND, "state"), deadline_s=STATE_S)
        try:
            values = json.loads(done.stdout)
            return state_of(member, values)
        except (ValueError, KeyError, TypeError):
            raise Failed(
                Problem(
                    "KNOWLEDGE_NOT_ANSWERING",
                    (done.stderr.strip() or "it says nothing of the tier")[-200:],
                    member,
                    "run `permafrost deploy`: it may not be configured yet",
                )
            ) from None

    def canaries(self, member: str) -> CanaryAnswers:
        """Ask the proxy of a member what is known."""
        try:
            with self._connected(member) as client, translated():
                return questions.ask(client, member)
        except MilvusRefusedError as error:
            return CanaryAnswers(member, error=str(error))
        except PermafrostError as error:
            return CanaryAnswers(member, error=error.problems[0].message)

    def collections(self, member: str) -> Mapping[str, int]:
        """Return each collection that is to be loaded, with its percentage."""
        try:
            with self._connected(member) as client, translated():
                return questions.loaded(client)
        except MilvusRefusedError as error:
            raise refused(member, "its collections", error) from None

    def settle(self, member: str) -> tuple[str, ...]:
        """Make everything so that is the cluster's and not one member's."""
        milvus = milvus_of(self._loaded.site)
        passwords = {
            name: self._loaded.resolve(user.password_file).read_text().strip()
            for name, user in milvus.access.users.items()
        }
        try:
            changed = self._own_root(member)
            with self._connected(member) as client, translated():
                changed += settle_access(
                    client,
                    milvus.access,
                    passwords,
                    lambda user, password: self._logs_in(member, user, password),
                )
                replicas = min(REPLICAS, max(1, milvus.roles.query // 2))
                changed += questions.settle_canaries(client, replicas)
        except MilvusRefusedError as error:
            raise refused(member, "users and canaries", error) from None
        return changed

    def hand_over(self, member: str, *, deadline_s: float) -> None:
        """Stop what serves there; its stores run on, led by another member."""
        self._told(member, "hand-over", deadline_s)

    def take_up(self, member: str) -> None:
        """Have everything there started."""
        self._told(member, "take-up", STATE_S)

    def _told(self, member: str, verb: str, deadline_s: float) -> None:
        done = self._shell.run(member, (*COMMAND, verb), deadline_s=deadline_s)
        if done.status:
            said = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
            raise Failed(
                Problem(
                    "KNOWLEDGE_NOT_MOVED",
                    f"{verb}: {said[-200:]}",
                    member,
                    "`permafrost status` shows the tier; `permafrost resume` tries again",
                )
            )

    def _own_root(self, member: str) -> tuple[str, ...]:
        """Change the password that Milvus is installed with; another one is not ours to guess."""
        if self._logs_in(member, ROOT, self._root()):
            return ()
        with (
            connected(self._shell, member, self._port(member), self._ca, FIRST_PASSWORD) as client,
            translated(),
        ):
            client.update_password(ROOT, FIRST_PASSWORD, self._root())
        return ("root's password",)

    def _logs_in(self, member: str, user: str, password: str) -> bool:
        from permafrost.adapters.milvus.login import logs_in

        with self._shell.forwarded(member, self._port(member)) as local:
            return logs_in(local, member, self._ca, user, password)

    def _connected(self, member: str) -> AbstractContextManager[Any]:
        return connected(self._shell, member, self._port(member), self._ca, self._root())

    def _port(self, member: str) -> int:
        return next(u.public_port for n, u in proxies(self._loaded.site) if n.name == member)

    def _root(self) -> str:
        return own_secret(self._loaded.state_dir, ROOT_SECRET)


def state_of(member: str, values: Mapping[str, Any]) -> MemberState:
    """Return a member's document as a value; raise KeyError or TypeError where it is none."""
    units, etcd, queue, store = (
        dict(values[key]) for key in ("units", "etcd", "queue", "object_store")
    )
    return MemberState(
        member=member,
        units={name: str(unit["state"]) for name, unit in units.items()},
        etcd_leader=str(etcd["leader"]),
        etcd_answering=int(etcd["answering"]),
        store_is_writable=bool(store["writable"]),
        brokers=int(queue["brokers"]),
        under_replicated=int(queue["under_replicated"]),
        sessions=tuple((str(s["key"]), str(s["address"])) for s in etcd["sessions"]),
    )
