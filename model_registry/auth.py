"""Answers to a registry's challenge: basic authentication, or a bearer token from its realm."""

from __future__ import annotations

import base64
import re
from collections.abc import Generator

from model_registry.answers import object_of
from model_registry.errors import RegistryError
from model_registry.http import httpx

_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


class RegistryAuth(httpx.Auth):
    """Authenticates when challenged, then keeps sending what was accepted, to that host alone."""

    def __init__(self, username: str, password: str) -> None:
        pair = base64.b64encode(f"{username}:{password}".encode()).decode()
        self._basic = f"Basic {pair}" if username else ""
        self._accepted = ""
        self._host = ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send, and once more with credentials where the registry asks for them."""
        host = request.url.netloc.decode()
        self._host = self._host or host
        if host != self._host:  # an upload or blob location elsewhere gets no credentials
            yield request
            return
        if self._accepted:
            request.headers["Authorization"] = self._accepted
        sent = request.headers.get("Authorization", "")
        response = yield request
        if response.status_code != httpx.codes.UNAUTHORIZED:
            return
        challenge = response.headers.get("www-authenticate", "")
        scheme = challenge.partition(" ")[0].lower()
        if scheme == "bearer":
            answer = yield self._token_request(challenge)
            answer.read()  # this one alone: blobs pass in streams
            self._accepted = f"Bearer {_token(answer)}"
        elif scheme == "basic" and self._basic and sent != self._basic:
            self._accepted = self._basic
        else:
            return
        request.headers["Authorization"] = self._accepted
        yield request

    def _token_request(self, challenge: str) -> httpx.Request:
        values = dict(_PARAMETER.findall(challenge))
        realm = httpx.URL(values.pop("realm", ""))
        if realm.scheme != "https":
            raise RegistryError(
                "REGISTRY_DENIED",
                f"the registry's token realm is {str(realm)!r}, not https",
                "have the registry name a realm with TLS: a password goes there",
            )
        wanted = {k: v for k, v in values.items() if k in ("service", "scope")}
        headers = {"Authorization": self._basic} if self._basic else {}
        return httpx.Request("GET", realm.copy_merge_params(wanted), headers=headers)


def _token(response: httpx.Response) -> str:
    if response.status_code != httpx.codes.OK:
        raise RegistryError(
            "REGISTRY_DENIED",
            f"no token: status {response.status_code}",
            "check user and password, and that the user may do this there",
        )
    answer = object_of(response.content, f"what the token realm {response.url.host} answers")
    token = answer.get("token") or answer.get("access_token")
    if not isinstance(token, str):
        raise RegistryError(
            "REGISTRY_DENIED",
            f"{response.url.host} gave no token",
            "is the token realm the registry's own? look at its log",
        )
    return token
