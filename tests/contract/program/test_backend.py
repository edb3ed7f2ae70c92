"""Backends and secrets providers of a site, in Pulumi's own engine; no vCenter, no machines.

The folder and the passphrase are the real things. The bucket and the Vault are stand-ins that
speak as much of S3 and of Vault as the engine asks for.
"""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.build import parts
from permafrost.adapters.pulumi_stack.backend import stack_files
from permafrost.adapters.pulumi_stack.checkpoint import VM_TYPE
from permafrost.adapters.pulumi_stack.environment import config_file
from permafrost.adapters.pulumi_stack.stack import PulumiStack
from permafrost.errors import Held, PermafrostError, Refused
from permafrost.site.load import load_site
from permafrost.topology import node_names
from tests.contract.program.stores import Stores, running_stores
from tests.fakes.site import document, write_site

SECRET = "hush-hush"
PROGRAM = f'import pulumi\npulumi.export("said", pulumi.Output.secret("{SECRET}"))\n'
VAULT = "hashivault://permafrost"
PENDING = "updating VirtualMachine lab-pulse-03"
STATE = ".pulumi/stacks/permafrost/lab.json"


@dataclass
class Desk:
    """A machine from which one site is deployed."""

    folder: Path

    def names(self, **control: str | None) -> PulumiStack:
        """Write the site file with these keys of ``control``; return its stack."""
        values = document()
        for key, value in control.items():
            values["control"].pop(key, None)
            if value is not None:
                values["control"][key] = value
        self.loaded = load_site(write_site(self.folder, values))
        checkout = self.folder / "checkout"
        checkout.mkdir(exist_ok=True)
        project = {"name": "permafrost", "runtime": "python"}
        (checkout / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        (checkout / "__main__.py").write_text(PROGRAM)
        engine = parts.path("pulumi") / "bin"
        self.stack = PulumiStack(self.loaded, engine=engine, checkout=checkout)
        return self.stack

    def type(self, *arguments: str, **extra: str) -> str:
        """Type ``pulumi`` beside the working copy, as `permafrost env` prepares it."""
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=stack_files(self.loaded),
            env={**os.environ, **self.stack.env(), **extra},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def secret(self) -> str:
        """Return what the program wrote, decrypted."""
        return self.type("stack", "output", "said", "--show-secrets").strip()

    def settings(self) -> dict[str, Any]:
        """Return the working copy of the stack's configuration."""
        found: dict[str, Any] = yaml.safe_load(config_file(self.loaded).read_text())
        return found

    def know_vms(self) -> None:
        """Bring every VM of the site into the state: then vCenter is not asked for lost ones."""
        state = json.loads(self.type("stack", "export"))
        provider = "urn:pulumi:lab::permafrost::pulumi:providers:vsphere::default"
        state["deployment"].setdefault("resources", []).extend(
            [
                {"urn": provider, "custom": True, "id": "x", "type": "pulumi:providers:vsphere"},
                *(
                    {
                        "urn": f"urn:pulumi:lab::permafrost::{VM_TYPE}::{name}",
                        "custom": True,
                        "id": name,
                        "type": VM_TYPE,
                        "provider": f"{provider}::x",
                    }
                    for name, _, _ in node_names(self.loaded.site)
                ),
            ]
        )
        path = self.folder / "state.json"
        path.write_text(json.dumps(state))
        self.type("stack", "import", "--file", str(path))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    # The program runs in the Python of these tests.
    folder = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", os.pathsep.join([folder, os.environ["PATH"]]))
    return Desk(tmp_path / "desk")


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stores]:
    with running_stores() as found:
        monkeypatch.setenv("VAULT_SERVER_URL", found.address)
        monkeypatch.setenv("VAULT_SERVER_TOKEN", "lab")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "lab")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "lab")
        yield found


def lock_text(machine: str, pid: int) -> str:
    return json.dumps(
        {"pid": pid, "username": "me", "hostname": machine, "timestamp": "2026-01-01T00:00:00Z"}
    )


def cut(text: str | bytes) -> str:
    """Return the state in the file of a stack as an `up` leaves it that is killed at a VM."""
    state = json.loads(text)
    latest = state["checkpoint"]["latest"]
    latest["pending_operations"] = [{"resource": latest["resources"][-1], "type": "updating"}]
    return json.dumps(state)


def code_of(stack: PulumiStack) -> str:
    with pytest.raises(PermafrostError) as caught:
        stack.ensure_stack()
    return caught.value.code


def test_a_folder_elsewhere_holds_state_locks_and_what_was_interrupted(desk: Desk) -> None:
    share = desk.folder / "share"
    stack = desk.names(pulumi_backend="file://share")
    assert code_of(stack) == "PULUMI_BACKEND_UNREACHABLE"
    share.mkdir()
    stack.ensure_stack()
    stack.up()
    stack.ensure_stack()
    assert (share / STATE).exists()
    assert not (stack_files(desk.loaded) / ".pulumi").exists()
    assert SECRET not in (share / STATE).read_text()
    assert desk.secret() == SECRET

    desk.know_vms()
    (share / STATE).write_text(cut((share / STATE).read_text()))
    locks = share / ".pulumi/locks/organization/permafrost/lab"
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    dead, foreign = locks / "dead.json", locks / "foreign.json"
    locks.mkdir(parents=True, exist_ok=True)
    dead.write_text(lock_text(socket.gethostname(), ended.pid))
    (share / f"{STATE}.attrs").write_text("")
    found = stack.interruption()
    assert found.pending == (PENDING,)
    assert [hold.is_dead for hold in found.holds] == [True]
    stack.ensure_stack()
    assert not (share / f"{STATE}.attrs").exists()
    foreign.write_text(lock_text("far", 7))
    with pytest.raises(Held, match="process 7 on far") as held:
        stack.repair()
    assert held.value.code == "PULUMI_STACK_LOCKED"
    assert not dead.exists()
    assert foreign.exists()
    assert stack.interruption().pending == (PENDING,)  # nothing was cleared away


def test_a_stack_is_brought_over_as_the_refusal_says(desk: Desk) -> None:
    first = desk.names()
    first.ensure_stack()
    first.up()
    state = desk.folder / "moved.json"
    desk.type("stack", "export", "--file", str(state))
    (desk.folder / "share").mkdir()
    second = desk.names(pulumi_backend="file://share")
    assert code_of(second) == "PULUMI_STACK_MISSING"
    assert not (desk.folder / "share/.pulumi").exists()
    desk.type("stack", "init", "lab", "--secrets-provider", "passphrase")
    desk.type("stack", "import", "--file", str(state))
    second.ensure_stack()
    assert desk.secret() == SECRET
    assert second.preview() == ()


def test_another_provider_is_refused_until_the_stack_has_it(desk: Desk, stores: Stores) -> None:
    by_passphrase = desk.names()
    by_passphrase.ensure_stack()
    by_passphrase.up()
    assert "encryptionsalt" in desk.settings()
    by_vault = desk.names(secrets_provider=VAULT, passphrase_file=None)
    assert code_of(by_vault) == "SECRETS_PROVIDER_CHANGED"
    desk.names()
    desk.type("stack", "change-secrets-provider", VAULT)
    by_vault = desk.names(secrets_provider=VAULT, passphrase_file=None)
    by_vault.ensure_stack()
    assert desk.settings()["secretsprovider"] == VAULT
    assert "encryptionsalt" not in desk.settings()
    by_vault.up()
    assert desk.secret() == SECRET
    assert code_of(desk.names()) == "SECRETS_PROVIDER_CHANGED"
    # And back: whoever goes to a passphrase says where it is.
    passphrase = str(desk.loaded.resolve("secrets/passphrase"))
    desk.names(secrets_provider=VAULT, passphrase_file=None)
    change = ("stack", "change-secrets-provider", "passphrase")
    desk.type(*change, PULUMI_CONFIG_PASSPHRASE_FILE=passphrase)
    desk.names().ensure_stack()
    assert desk.settings().keys() == {"encryptionsalt"}
    assert desk.secret() == SECRET


def test_a_compressed_state_is_not_taken_for_none(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_SELF_MANAGED_STATE_GZIP", "true")
    stack = desk.names()
    stack.ensure_stack()
    desk.know_vms()
    state = stack_files(desk.loaded) / f"{STATE}.gz"
    stack.ensure_stack()
    assert stack.interruption().is_none
    text = cut(gzip.decompress(state.read_bytes()))
    state.write_bytes(gzip.compress(text.encode()))
    state.with_name(f"{state.name}.attrs").unlink()
    assert stack.interruption().pending == (PENDING,)


def test_a_bucket_is_read_through_the_engine(desk: Desk, stores: Stores, tmp_path: Path) -> None:
    control = {"secrets_provider": VAULT, "passphrase_file": None}
    stack = desk.names(pulumi_backend=stores.bucket_url, **control)
    stack.ensure_stack()
    stack.up()
    assert not (stack_files(desk.loaded) / ".pulumi").exists()
    assert SECRET.encode() not in stores.objects[STATE]
    assert desk.secret() == SECRET

    # Another machine, which has never seen the stack, takes it as it is.
    other = Desk(tmp_path / "other")
    other.names(pulumi_backend=stores.bucket_url, **control).ensure_stack()
    assert other.settings() == desk.settings()
    assert other.secret() == SECRET

    desk.know_vms()
    assert stack.interruption().is_none
    stores.objects[STATE] = cut(stores.objects[STATE]).encode()
    assert stack.interruption().pending == (PENDING,)
    key = ".pulumi/locks/organization/permafrost/lab/far.json"
    stores.objects[key] = lock_text("far", 7).encode()
    for ask in (stack.interruption, stack.repair):
        with pytest.raises(Held, match=r"me@far \(pid 7\)") as held:
            ask()
        assert held.value.code == "PULUMI_STACK_LOCKED"
    assert key in stores.objects
    del stores.objects[key]
    assert stack.interruption().pending == (PENDING,)  # nothing was cleared away


def test_a_bucket_that_is_away_is_not_an_empty_one(desk: Desk, stores: Stores) -> None:
    stack = desk.names(pulumi_backend=stores.bucket_url)
    stack.ensure_stack()
    stores.is_away = True
    with pytest.raises(PermafrostError) as caught:
        stack.ensure_stack()
    assert caught.value.code == "PULUMI_BACKEND_UNREACHABLE"
    stores.is_away = False
    stores.objects.clear()
    with pytest.raises(Refused) as refused:
        stack.ensure_stack()
    assert refused.value.code == "PULUMI_STACK_MISSING"
    assert not stores.objects.keys() & {STATE}
