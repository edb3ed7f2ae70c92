"""The environment of a typed ``pulumi``, and the working copy of the stack's settings."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from permafrost.adapters.pulumi_stack.configuration import write_working_configuration
from permafrost.adapters.pulumi_stack.environment import (
    config_file,
    stack_environment,
    write_authorities,
)
from permafrost.errors import Failed
from permafrost.site.load import LoadedSite, load_site
from tests.infra.conftest import site_document


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedSite:
    for name in ("vcenter-password", "registry-password", "passphrase", "packages.asc", "ca.pem"):
        (tmp_path / name).write_text("secret\n")
        (tmp_path / name).chmod(0o600)
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump(site_document()))
    (tmp_path / "state/pulumi").mkdir(parents=True)
    return load_site(path)


def test_it_names_site_stack_and_vcenter(loaded: LoadedSite) -> None:
    environment = stack_environment(loaded)
    assert environment["PERMAFROST_SITE"] == str(loaded.path)
    assert environment["PULUMI_STACK"] == "lab"
    assert environment["PULUMI_BACKEND_URL"] == f"file://{loaded.state_dir}/pulumi"
    assert environment["VSPHERE_SERVER"] == "10.9.8.1:8989"
    assert environment["VSPHERE_PASSWORD"] == "secret"
    # Passphrases go by file: an environment is easily shown.
    assert "PULUMI_CONFIG_PASSPHRASE" not in environment


def test_steps_that_wait_for_their_turn_leave_room_for_the_one_they_wait_for(
    loaded: LoadedSite,
) -> None:
    nodes = 3
    assert int(stack_environment(loaded)["PULUMI_PARALLEL"]) > 2 * nodes


def test_a_missing_password_file_is_said_with_its_path(loaded: LoadedSite) -> None:
    loaded.resolve("vcenter-password").unlink()
    with pytest.raises(Failed) as caught:
        stack_environment(loaded)
    assert caught.value.code == "SECRET_UNREADABLE"


def test_the_salt_stays_in_the_working_copy(loaded: LoadedSite, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    tracked = checkout / "Pulumi.lab.yaml"
    tracked.write_text("config:\n  permafrost:colour: blue\n")
    config_file(loaded).write_text("encryptionsalt: v1:abc\nconfig: {}\n")
    write_working_configuration(loaded, checkout)
    assert yaml.safe_load(config_file(loaded).read_text()) == {
        "encryptionsalt": "v1:abc",
        "config": {"permafrost:colour": "blue"},
    }
    assert "encryptionsalt" not in tracked.read_text()


def test_the_vcenters_own_authority_is_added_to_the_systems(loaded: LoadedSite) -> None:
    write_authorities(loaded)
    bundle = Path(stack_environment(loaded)["SSL_CERT_FILE"])
    assert bundle.read_text().endswith("secret\n")
