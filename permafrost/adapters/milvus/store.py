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
from permafrost.adapters.ssh import CommandResult, SshShell
from permafrost.engine.secrets import own_secret
from permafrost.errors import Failed, PermafrostError, Problem
from permafrost.facts import CanaryAnswers, MemberDisk, MemberState, ProxyLeaders, QueryReplica
from permafrost.planning.knowledge import etcd_scheme, members, milvus_of, proxies
from permafrost.planning.milvus_versions import DATA_FOLDER, STORE_PORTS, STORES
from permafrost.planning.query_replicas import SESSION
from permafrost.site.load import LoadedSite

COMMAND = ("sudo", "-n", "/usr/local/sbin/permafrost-knowledge")
STATE_S = 25.0
START_S = 150.0
"""Of one process: systemd gives it 120 s."""
READMIT_S = 60.0
DISK = f"""d={DATA_FOLDER}
if ! findmnt -n "$d" >/dev/null && blkid -L permafrost-data >/dev/null 2>&1; then
  mkdir -p "$d" && mount LABEL=permafrost-data "$d" || exit 3
fi
[ -e "$d/etcd/data/member/snap/db" ] && echo etcd
[ -e "$d/kafka/meta.properties" ] && echo queue
[ -e "$d/minio/d1/.minio.sys/format.json" ] && [ -e "$d/minio/d2/.minio.sys/format.json" ] \\
  && echo object_store
true
"""
"""Says which stores have data. A disk that is there and not mounted yet is not empty."""
ROOT_SECRET = "milvus-root"  # noqa: S105  (the name of a file)
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
        self._told(member, ("hand-over",), deadline_s)

    def restart(self, member: str, unit: str, *, deadline_s: float) -> None:
        """Have one process there hand over and begin anew."""
        self._told_of(member, "restart", unit, "restarted", deadline_s)

    def start(self, member: str, unit: str) -> None:
        """Have one process there begin."""
        self._told_of(member, "start", unit, "started", START_S)

    def stop(self, member: str, unit: str, *, deadline_s: float) -> None:
        """Have one process there hand over and end."""
        self._told_of(member, "stop", unit, "stopped", deadline_s)

    def hold_balance(self, member: str) -> None:
        """Have nodes that come given no segments of others; a member says it."""
        self._told(member, ("hold-balance",), STATE_S)

    def release_balance(self, member: str) -> None:
        """Have segments balanced again."""
        self._told(member, ("release-balance",), STATE_S)

    def take_up(self, member: str) -> None:
        """Have everything there started."""
        self._told(member, ("take-up",), STATE_S)

    def disk(self, member: str) -> MemberDisk:
        """Return what a member's disk holds; asked by its paths: it may not be configured yet."""
        done = self._shell.run(member, ("sudo", "-n", "sh", "-c", DISK), deadline_s=STATE_S)
        if done.status:
            raise _failed("KNOWLEDGE_DISK_UNSEEN", "its disk", member, done)
        return MemberDisk(member, frozenset(done.stdout.split()) & frozenset(STORES))

    def readmit(self, member: str, *, by: str) -> None:
        """Have etcd expect the member as a new one; ``by`` says it."""
        address = next(n.address for n in members(self._loaded.site) if n.name == member)
        peer = f"{etcd_scheme(self._loaded.site)}://{address}:{STORE_PORTS['etcd'][1]}"
        code = "KNOWLEDGE_NOT_READMITTED"
        self._told(by, ("readmit", member, peer), READMIT_S, code=code)

    def claim(self, member: str, owner: str) -> str:
        """Note whose cluster it is where nobody has; return whose it is."""
        done = self._told(member, ("claim", owner), STATE_S, code="KNOWLEDGE_NOT_CLAIMED")
        try:
            return str(json.loads(done.stdout)["owner"])
        except (ValueError, KeyError, TypeError):
            raise _failed("KNOWLEDGE_NOT_CLAIMED", "claim", member, done) from None

    def _told_of(self, member: str, verb: str, unit: str, done: str, deadline_s: float) -> None:
        """Tell a member to do something to one process; what it answers has to say that it did."""
        answer = self._told(member, (verb, unit), deadline_s)
        if f'"{done}": "{unit}"' not in answer.stdout:
            raise _failed("KNOWLEDGE_NOT_MOVED", f"{verb} {unit}", member, answer)

    def _told(
        self,
        member: str,
        told: tuple[str, ...],
        deadline_s: float,
        *,
        code: str = "KNOWLEDGE_NOT_MOVED",
    ) -> CommandResult:
        done = self._shell.run(member, (*COMMAND, *told), deadline_s=deadline_s)
        if done.status:
            raise _failed(code, told[0], member, done)
        return done

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


def _failed(code: str, what: str, member: str, done: CommandResult) -> Failed:
    said = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
    hint = "`permafrost status` shows the tier; then run it again, or `permafrost resume`"
    return Failed(Problem(code, f"{what}: {said[-200:]}", member, hint))


def state_of(member: str, values: Mapping[str, Any]) -> MemberState:
    """Return a member's document as a value; raise KeyError or TypeError where it is none."""
    disk = values.get("disk")
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
        healing=int(store.get("healing", 0)),
        disk_free_mib=None if disk is None else int(disk["free_mib"]),
        disk_mib=None if disk is None else int(disk["mib"]),
        cluster_owner=str(etcd.get("owner", "")),
        replicas=tuple(
            QueryReplica(str(r["collection"]), str(r["replica"]), frozenset(map(int, r["nodes"])))
            for r in etcd.get("replicas", ())
        ),
        proxy_leaders=tuple(
            _proxy_leaders(address, note) for address, note in etcd.get("leaders", {}).items()
        ),
        query_versions=frozenset(
            str(s["version"])
            for s in etcd["sessions"]
            if str(s["key"]).startswith(SESSION) and s.get("version")
        ),
        balance_held=bool(etcd.get("balance_held")),
        turn=str(etcd.get("turn", "")),
        spares=frozenset(values.get("spares", ())),
        stopping=frozenset(str(s["key"]) for s in etcd["sessions"] if s.get("is_stopping")),
    )


def _proxy_leaders(address: str, note: Mapping[str, Any]) -> ProxyLeaders:
    leaders = {
        str(collection): {str(name): tuple(map(int, nodes)) for name, nodes in channels.items()}
        for collection, channels in note["leaders"].items()
    }
    return ProxyLeaders(str(address), bool(note["settled"]), leaders)
