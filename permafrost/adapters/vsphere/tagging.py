"""Tags: the part of a vCenter that answers over REST alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from model_registry.http import httpx
from permafrost.adapters.vsphere.session import VcenterSession
from permafrost.errors import Failed, Problem

BASE = "/rest/com/vmware/cis"
TIMEOUT_S = 30.0
MACHINE = "VirtualMachine"


class Tagging:
    """What hangs on which VM. Each call logs in and out: it is asked seldom."""

    def __init__(self, session: VcenterSession) -> None:
        self._session = session

    def tagged(self, category: str) -> dict[str, frozenset[str]]:
        """Return by VM id the tags of one category; empty where there is no such category."""
        with self._client() as client:
            names = _tags_of(client, category)
            if not names:
                return {}
            rows = _value(
                client.post(
                    "/tagging/tag-association?~action=list-attached-objects-on-tags",
                    json={"tag_ids": list(names)},
                )
            )
        found: dict[str, set[str]] = {}
        for row in rows or ():
            for thing in row.get("object_ids") or ():
                if thing["type"] == MACHINE:
                    found.setdefault(str(thing["id"]), set()).add(names[row["tag_id"]])
        return {moid: frozenset(tags) for moid, tags in found.items()}

    def attach(self, moid: str, category: str, tag: str) -> None:
        """Put a tag on a VM; one that it has already changes nothing."""
        with self._client() as client:
            names = _tags_of(client, category)
            identity = next((i for i, name in names.items() if name == tag), None)
            if identity is None:
                raise Failed(
                    Problem(
                        "TAG_MISSING",
                        f"vCenter has no tag {tag} in {category}",
                        tag,
                        "`permafrost deploy` makes the site's tags; then run this again",
                    )
                )
            _value(
                client.post(
                    f"/tagging/tag-association/id:{identity}?~action=attach",
                    json={"object_id": {"id": moid, "type": MACHINE}},
                )
            )

    def remove(self, category: str, tag: str = "") -> None:
        """Remove one tag of a category; without a name the category with all its tags."""
        with self._client() as client:
            if not tag:
                for identity in _categories(client, category):
                    _value(client.delete(f"/tagging/category/id:{identity}"))
                return
            for identity, name in _tags_of(client, category).items():
                if name == tag:
                    _value(client.delete(f"/tagging/tag/id:{identity}"))

    @contextmanager
    def _client(self) -> Iterator[httpx.Client]:
        site = self._session.loaded
        vcenter = site.site.vcenter
        try:
            with httpx.Client(
                base_url=f"https://{vcenter.server}{BASE}",
                verify=self._session.tls(),
                timeout=TIMEOUT_S,
                trust_env=False,
            ) as client:
                password = site.resolve(vcenter.password_file).read_text().rstrip("\n")
                token = _value(client.post("/session", auth=(vcenter.user, password)))
                client.headers["vmware-api-session-id"] = str(token)
                try:
                    yield client
                finally:
                    with suppress(httpx.HTTPError):
                        client.delete("/session")
        except (httpx.HTTPError, OSError) as error:
            raise Failed(
                Problem(
                    "TAGS_UNREADABLE",
                    f"{vcenter.server}: {error}",
                    "vcenter.server",
                    f"tags are served at {BASE}; the user needs the rights of vSphere Tagging",
                )
            ) from None


def _categories(client: httpx.Client, name: str) -> list[str]:
    known = map(str, _value(client.get("/tagging/category")) or ())
    return [i for i in known if _value(client.get(f"/tagging/category/id:{i}"))["name"] == name]


def _tags_of(client: httpx.Client, category: str) -> dict[str, str]:
    return {
        str(tag): str(_value(client.get(f"/tagging/tag/id:{tag}"))["name"])
        for identity in _categories(client, category)
        for tag in _value(
            client.post(f"/tagging/tag/id:{identity}?~action=list-tags-for-category")
        )
        or ()
    }


def _value(answer: httpx.Response) -> Any:
    answer.raise_for_status()
    return answer.json().get("value") if answer.content else None
