"""Tags and their categories: the part of vCenter that speaks REST only."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
from typing import Any

from lab.provider.config import ProviderConfig
from lab.provider.errors import NotFoundError, ProviderError

BASE = "/rest/com/vmware/cis"
TIMEOUT_S = 60.0


class Tagging:
    """Calls on the tagging service, logged in on first use."""

    def __init__(self, config: ProviderConfig, context: ssl.SSLContext) -> None:
        self._config = config
        self._context = context
        self._lock = threading.Lock()
        self._token = ""

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return the answer's value; raises NotFoundError on 404."""
        with self._lock:
            token = self._token or self._login()
        status, value = self._send(method, path, body, {"vmware-api-session-id": token})
        if status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):
            with self._lock:
                token = self._login()
            status, value = self._send(method, path, body, {"vmware-api-session-id": token})
        if status >= http.client.BAD_REQUEST:
            address = f"https://{self._config.host}:{self._config.port}{BASE}{path}"
            reason = f"{status} {http.client.responses.get(status, '')}"
            if isinstance(value, dict) and "type" in value:
                reason += f": {json.dumps(value, separators=(',', ':'))}"
            error = NotFoundError if status == http.client.NOT_FOUND else ProviderError
            raise error(f"{method} {address}: {reason}")
        return value

    def attached(self, kind: str, moid: str) -> list[str]:
        """Return the ids of the tags an object carries."""
        found = self.call(
            "POST",
            "/tagging/tag-association?~action=list-attached-tags",
            {"object_id": {"id": moid, "type": kind}},
        )
        return sorted(found or [])

    def attach(self, tag: str, kind: str, moid: str) -> None:
        """Put a tag on an object."""
        self._associate("attach", tag, kind, moid)

    def detach(self, tag: str, kind: str, moid: str) -> None:
        """Take a tag off an object."""
        self._associate("detach", tag, kind, moid)

    def _associate(self, action: str, tag: str, kind: str, moid: str) -> None:
        self.call(
            "POST",
            f"/tagging/tag-association/id:{tag}?~action={action}",
            {"object_id": {"id": moid, "type": kind}},
        )

    def _login(self) -> str:
        pair = f"{self._config.user}:{self._config.password}".encode()
        basic = base64.b64encode(pair).decode()
        status, value = self._send("POST", "/session", None, {"Authorization": f"Basic {basic}"})
        if status >= http.client.BAD_REQUEST:
            raise ProviderError(f"login to the tagging service failed: {status}")
        self._token = str(value)
        return self._token

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
        connection = http.client.HTTPSConnection(
            self._config.host, self._config.port, context=self._context, timeout=TIMEOUT_S
        )
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(
                method, BASE + path, payload, {"Content-Type": "application/json", **headers}
            )
            response = connection.getresponse()
            data = response.read()
        finally:
            connection.close()
        try:
            value = json.loads(data) if data else None
        except ValueError:
            value = None
        if isinstance(value, dict) and response.status < http.client.BAD_REQUEST:
            value = value.get("value")
        return response.status, value
