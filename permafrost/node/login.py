"""How the node shows a registry who it is: by password, or by a token that its realm gives.

The password is sent at once, so a registry with basic authentication is asked once only. One that
challenges with `Bearer` is asked for a token, which is used until it is challenged again. Both go
to the registry's own host and to its realm, over TLS, and to nobody else.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import urllib.parse
from collections.abc import Callable

from .errors import NodeError
from .settings import Registry

_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_LARGEST_ANSWER = 1 << 20


class Login:
    """One account at one registry."""

    def __init__(
        self, registry: Registry, connect: Callable[[str], http.client.HTTPConnection]
    ) -> None:
        self._registry = registry
        self._connect = connect
        self._token = ""

    def header(self) -> str:
        """Return what to send as Authorization."""
        return f"Bearer {self._token}" if self._token else self._basic()

    def renewed(self, challenge: str) -> bool:
        """Answer a challenge; returns whether there is something else to send now.

        Raises NodeError where the realm gives no token.
        """
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() != "bearer":
            return False
        values = dict(_PARAMETER.findall(rest))
        realm = urllib.parse.urlsplit(values.pop("realm", ""))
        if realm.scheme != "https":
            raise self._denied(f"its token realm is {realm.geturl()!r}, not https")
        wanted = {k: v for k, v in values.items() if k in ("service", "scope")}
        query = "&".join(part for part in (realm.query, urllib.parse.urlencode(wanted)) if part)
        connection = self._connect(realm.netloc)
        try:
            headers = {"Authorization": self._basic()}
            connection.request("GET", f"{realm.path or '/'}?{query}", headers=headers)
            response = connection.getresponse()
            content = response.read(_LARGEST_ANSWER)
        finally:
            connection.close()
        if response.status in (401, 403):
            raise self._denied(f"its token realm answered {response.status}")
        if response.status != http.client.OK:
            raise ConnectionError(f"the token realm answered {response.status}")
        try:
            answer = json.loads(content)
            self._token = str(answer.get("token") or answer["access_token"])
        except (ValueError, KeyError, AttributeError) as error:
            raise self._denied("its token realm gave no token") from error
        return True

    def _basic(self) -> str:
        password = self._registry.password_file.read_text(encoding="utf-8").strip()
        pair = f"{self._registry.username}:{password}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    def _denied(self, why: str) -> NodeError:
        return NodeError(
            "REGISTRY_DENIED", f"{self._registry.url}: {why}", "check the password file"
        )
