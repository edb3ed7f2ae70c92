"""The provider's own configuration."""

from __future__ import annotations

import pytest

from lab.provider.config import check_config, diff_config, read_config
from lab.provider.errors import ProviderError

ENVIRONMENT = {
    "VSPHERE_SERVER": "vcenter.example:8989",
    "VSPHERE_USER": "u",
    "VSPHERE_PASSWORD": "hidden",
    "VSPHERE_ALLOW_UNVERIFIED_SSL": "true",
}


def test_the_environment_fills_in_what_the_program_leaves_out() -> None:
    config = read_config({}, {"user": "other"}, ENVIRONMENT)
    assert (config.host, config.port, config.user) == ("vcenter.example", 8989, "other")
    assert config.password == "hidden"
    assert not config.verify_tls


def test_certificates_are_verified_unless_told_otherwise() -> None:
    flat = {"vsphere:config:vsphereServer": "v", "vsphere:config:user": "u"}
    config = read_config({**flat, "vsphere:config:password": "p"}, {}, {})
    assert config.verify_tls
    assert config.port == 443


def test_the_password_is_not_shown() -> None:
    assert "hidden" not in repr(read_config({}, {}, ENVIRONMENT))


def test_a_server_is_needed() -> None:
    with pytest.raises(ProviderError, match="vsphere_server"):
        read_config({}, {"user": "u", "password": "p"}, {})


def test_check_gives_text_back_and_keeps_the_environment_out_of_it() -> None:
    inputs, failures = check_config("p", {"allowUnverifiedSsl": True}, ENVIRONMENT)
    assert inputs == {"allowUnverifiedSsl": "true"}
    assert failures == []


def test_check_says_what_is_missing_or_unknown() -> None:
    _, missing = check_config("p", {}, {})
    assert [f.split(":")[0] for f in missing] == [
        "Missing required property 'password'",
        "Missing required property 'user'",
    ]
    inputs, unknown = check_config("p", {"nonesuch": 1}, ENVIRONMENT)
    assert inputs == {}
    assert "p.nonesuch" in unknown[0]


def test_another_server_is_a_change() -> None:
    assert diff_config({"user": "u", "vsphereServer": "a"}, {"user": "u"}) == ["vsphereServer"]
