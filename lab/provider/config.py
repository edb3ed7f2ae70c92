"""How to reach vCenter: from the program's provider arguments, else from the environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

from lab.provider.errors import ProviderError
from lab.provider.values import UNKNOWN, Props

PREFIX = "vsphere:config:"
DEFAULT_PORT = 443
REQUIRED = {
    "password": "The user password for vSphere API operations.",
    "user": "The user name for vSphere API operations.",
}
KEYS = frozenset(
    {
        "allowUnverifiedSsl",
        "apiTimeout",
        "clientDebug",
        "clientDebugPath",
        "clientDebugPathRun",
        "password",
        "persistSession",
        "restSessionPath",
        "user",
        "vcenterServer",
        "vimKeepAlive",
        "vimSessionPath",
        "vsphereServer",
    }
)
ENVIRONMENT = {
    "user": "VSPHERE_USER",
    "password": "VSPHERE_PASSWORD",
    "vsphereServer": "VSPHERE_SERVER",
    "allowUnverifiedSsl": "VSPHERE_ALLOW_UNVERIFIED_SSL",
}


@dataclass(frozen=True)
class ProviderConfig:
    """Address of vCenter and who logs in there; the password never appears in a repr."""

    host: str
    port: int
    user: str
    password: str
    verify_tls: bool

    def __repr__(self) -> str:
        return f"ProviderConfig({self.user}@{self.host}:{self.port})"


def check_config(
    name: str, news: Props, environment: Mapping[str, str] = os.environ
) -> tuple[Props, list[str]]:
    """Return the configuration as the engine keeps it (all text), and what is wrong with it."""
    given = {k: v for k, v in news.items() if v is not None and k not in ("version", "__internal")}
    unknown = sorted(set(given) - KEYS)
    if unknown:
        reason = "could not validate provider configuration: Invalid or unknown key."
        return {}, [f"{reason} Examine values at '{name}.{key}'." for key in unknown]
    failures = [
        f"Missing required property '{key}': {what}"
        for key, what in REQUIRED.items()
        if key not in given and not environment.get(ENVIRONMENT[key])
    ]
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in given.items()}, failures


def diff_config(olds: Props, news: Props) -> list[str]:
    """Return the names of what changed."""
    ignored = ("version", "__internal")
    keys = (set(olds) | set(news)) - set(ignored)
    return sorted(k for k in keys if olds.get(k) != news.get(k))


def read_config(
    variables: Mapping[str, str], args: Props, environment: Mapping[str, str] = os.environ
) -> ProviderConfig:
    """Return the configuration of this process; raises ProviderError when something is missing."""
    values = {k: v for k, v in args.items() if isinstance(v, str | bool) and v != UNKNOWN}
    for key, value in variables.items():
        values.setdefault(key.removeprefix(PREFIX), value)

    def get(key: str, default: str = "") -> str:
        return str(values.get(key, environment.get(ENVIRONMENT[key], default)))

    server = get("vsphereServer")
    if not server:
        raise ProviderError(
            "one of vsphere_server or [deprecated] vcenter_server must be provided"
        )
    host, _, port = server.partition(":")
    missing = [k for k in REQUIRED if k not in values and not get(k)]
    if missing:
        raise ProviderError(f"missing in the provider's configuration: {', '.join(missing)}")
    return ProviderConfig(
        host=host,
        port=int(port) if port else DEFAULT_PORT,
        user=get("user"),
        password=get("password"),
        verify_tls=get("allowUnverifiedSsl", "false").lower() not in ("true", "1"),
    )
