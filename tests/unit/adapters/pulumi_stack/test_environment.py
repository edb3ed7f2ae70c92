"""The environment of a typed ``pulumi``, and the working copy of the stack's settings."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from permafrost.adapters.pulumi_stack.backend import backend_of
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


def with_control(loaded: LoadedSite, **values: str | None) -> LoadedSite:
    control = loaded.site.control.model_copy(update=values)
    return LoadedSite(loaded.site.model_copy(update={"control": control}), loaded.path)


def test_it_names_site_stack_and_vcenter(loaded: LoadedSite) -> None:
    environment = stack_environment(loaded)
    assert environment["PERMAFROST_SITE"] == str(loaded.path)
    assert environment["PULUMI_STACK"] == "lab"
    assert environment["PULUMI_BACKEND_URL"] == f"file://{loaded.state_dir}/pulumi"
    assert environment["VSPHERE_SERVER"] == "10.9.8.1:8989"
    assert environment["VSPHERE_PASSWORD"] == "secret"
    # Passphrases go by file: an environment is easily shown.
    assert "PULUMI_CONFIG_PASSPHRASE" not in environment


def test_a_folder_is_told_to_pulumi_by_its_absolute_path(loaded: LoadedSite) -> None:
    beside = with_control(loaded, pulumi_backend="file://kept here%231?metadata=skip")
    folder = loaded.path.parent / "kept here#1"
    assert backend_of(beside).folder == folder
    url = stack_environment(beside)["PULUMI_BACKEND_URL"]
    assert url == f"file://{loaded.path.parent}/kept%20here%231?metadata=skip"
    # What is beside the stack stays in the state folder.
    assert config_file(beside) == config_file(loaded)


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/sites?region=eu-central-1",
        "gs://bucket",
        "azblob://container",
        "postgres://me:hush@db/state",
        "https://api.pulumi.com",
    ],
)
def test_a_place_elsewhere_is_handed_to_pulumi_as_it_is_named(
    loaded: LoadedSite, url: str
) -> None:
    elsewhere = with_control(loaded, pulumi_backend=url)
    assert stack_environment(elsewhere)["PULUMI_BACKEND_URL"] == url
    assert backend_of(elsewhere).folder is None
    assert "hush" not in backend_of(elsewhere).shown
    assert backend_of(elsewhere).is_service == url.startswith("https")


def test_another_provider_needs_no_passphrase(loaded: LoadedSite) -> None:
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" in stack_environment(loaded)
    cloud = with_control(loaded, secrets_provider="awskms://key", passphrase_file=None)
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" not in stack_environment(cloud)


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


def test_the_states_own_provider_wins_over_what_the_working_copy_says(
    loaded: LoadedSite, tmp_path: Path
) -> None:
    config_file(loaded).write_text("encryptionsalt: v1:abc\nconfig: {}\n")
    settings = {"secretsprovider": "awskms://key", "encryptedkey": "a2V5"}
    write_working_configuration(loaded, tmp_path, settings)
    assert yaml.safe_load(config_file(loaded).read_text()) == settings


def test_the_vcenters_own_authority_is_added_to_the_systems(loaded: LoadedSite) -> None:
    write_authorities(loaded)
    bundle = Path(stack_environment(loaded)["SSL_CERT_FILE"])
    assert bundle.read_text().endswith("secret\n")
