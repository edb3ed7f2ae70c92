"""The lab's vCenter where it speaks REST alone: which tags a VM carries."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

BASE = "/rest/com/vmware/cis"


class Tags:
    """A session with the tagging service."""

    def __init__(self, status: dict[str, Any]) -> None:
        told = status["vcenter"]
        password = Path(told["password_file"]).read_text(encoding="utf-8").strip()
        base = f"https://{urlsplit(told['url']).netloc}{BASE}"
        self._client = httpx.Client(verify=False, timeout=60)
        answer = self._client.post(f"{base}/session", auth=(told["user"], password))
        answer.raise_for_status()
        self._client.headers["vmware-api-session-id"] = answer.json()["value"]
        self._base = f"{base}/tagging"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def of(self, moid: str) -> dict[str, str]:
        """Return the tags on a VM: their names to their ids."""
        ids = self._post("tag-association?~action=list-attached-tags", moid) or []
        named = {}
        for identity in ids:
            answer = self._client.get(f"{self._base}/tag/id:{identity}")
            answer.raise_for_status()
            named[str(answer.json()["value"]["name"])] = str(identity)
        return named

    def detach(self, identity: str, moid: str) -> None:
        """Take a tag off a VM."""
        self._post(f"tag-association/id:{identity}?~action=detach", moid)

    def _post(self, path: str, moid: str) -> Any:
        about = {"object_id": {"id": moid, "type": "VirtualMachine"}}
        answer = self._client.post(f"{self._base}/{path}", json=about)
        answer.raise_for_status()
        return answer.json().get("value") if answer.content else None
