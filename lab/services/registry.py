"""The lab's OCI registry: Debian's docker-registry with TLS, passwords and files of our own."""

from __future__ import annotations

import base64
import json
import ssl
from pathlib import Path

import bcrypt
import httpx
import yaml

from lab.instance.authority import ensure_authority, ensure_certificate
from lab.instance.model import Instance
from lab.instance.secrets import ensure_password, write_private
from lab.services.daemon import Daemon

USER = "permafrost"
PROGRAM = "/usr/bin/docker-registry"
# The password has 192 random bits; a slow hash would only slow down each of a pull's requests.
BCRYPT_ROUNDS = 5


def ensure(instance: Instance) -> None:
    """Configure and start the registry; nothing changes where it runs."""
    configure(instance)
    daemon(instance).ensure()


def configure(instance: Instance) -> None:
    """Write configuration, certificate and credentials where they are missing."""
    folder = instance.registry_dir
    authority = ensure_authority(instance.ca_dir, instance.id)
    certificate, key = ensure_certificate(authority, folder, instance.gateway)
    password = ensure_password(folder / "password")
    _credentials(instance, password)
    trusted = folder / "certs.d"
    trusted.mkdir(exist_ok=True)
    (trusted / "ca.crt").write_bytes(authority.read_bytes())
    config = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(folder / "data")},
            "delete": {"enabled": True},
        },
        "http": {
            "addr": instance.registry_address,
            "secret": ensure_password(folder / "upload-secret"),
            "tls": {"certificate": str(certificate), "key": str(key), "minimumtls": "tls1.2"},
        },
        "auth": {"htpasswd": {"realm": "Permafrost lab", "path": str(folder / "htpasswd")}},
    }
    write_private(folder / "config.yaml", yaml.safe_dump(config, sort_keys=False))


def _credentials(instance: Instance, password: str) -> None:
    folder = instance.registry_dir
    known = folder / "htpasswd"
    if not known.exists():
        hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(BCRYPT_ROUNDS)).decode()
        write_private(known, f"{USER}:{hashed}\n")
    token = base64.b64encode(f"{USER}:{password}".encode()).decode()
    auths = {"auths": {instance.registry_address: {"auth": token}}}
    write_private(auth_file(instance), json.dumps(auths) + "\n")


def auth_file(instance: Instance) -> Path:
    """Return the credentials file of container tools."""
    return instance.registry_dir / "auth.json"


def client(instance: Instance) -> httpx.Client:
    """Return an HTTP client that trusts the lab's CA and knows the password."""
    password = (instance.registry_dir / "password").read_text().strip()
    return httpx.Client(
        base_url=f"https://{instance.registry_address}",
        auth=(USER, password),
        verify=ssl.create_default_context(cafile=str(instance.ca_dir / "ca.pem")),
        timeout=30,
        trust_env=False,
    )


def daemon(instance: Instance) -> Daemon:
    """Return the registry's process."""
    config = instance.registry_dir / "config.yaml"

    def ready() -> bool:
        try:
            with client(instance) as session:
                return session.get("/v2/").status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    return Daemon(
        instance,
        "registry",
        argv=[PROGRAM, "serve", str(config)],
        ready=ready,
        inputs=[config, instance.registry_dir / "cert.pem", instance.registry_dir / "htpasswd"],
    )
