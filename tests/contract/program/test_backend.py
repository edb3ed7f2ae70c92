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
from pathlib import Path

import pytest

from permafrost.adapters.pulumi_stack.backend import stack_files
from permafrost.adapters.pulumi_stack.stack import PulumiStack
from permafrost.errors import Held, PermafrostError, Refused
from tests.contract.program.desk import SECRET, Desk
from tests.contract.program.stores import Stores, running_stores

VAULT = "hashivault://permafrost"
PENDING = "updating VirtualMachine lab-pulse-03"
STATE = ".pulumi/stacks/permafrost/lab.json"


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
