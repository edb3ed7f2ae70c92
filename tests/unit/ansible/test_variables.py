from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest
import yaml

from permafrost import topology
from permafrost.adapters.ansible.variables import (
    PublicMaterial,
    checkpoint_repository,
    host_variables,
    image_reference,
    server_names,
)
from permafrost.site.model import Site
from tests.golden.ansible.rendering import PUBLIC, SECRET, SITE


def _site(**changes: Any) -> Site:
    return Site.model_validate({**yaml.safe_load(SITE.read_text()), **changes})


def _variables(site: Site, name: str) -> dict[str, Any]:
    return _told(site, name, PUBLIC)


def _told(site: Site, name: str, public: PublicMaterial) -> dict[str, Any]:
    node = {n.name: n for n in topology.nodes(site)}[name]
    return host_variables(site, node, public, SECRET).plain


def test_an_edge_certificate_speaks_for_every_endpoint() -> None:
    site = _site()
    edge = topology.edges(site)[0]
    assert server_names(site, edge) == (
        ("chat.oslo.permafrost.internal", "pulse.oslo.permafrost.internal"),
        # Clients come to the common address, whichever edge has it.
        (IPv4Address("10.20.0.20"), IPv4Address("10.20.0.10")),
    )


def test_an_inference_node_speaks_for_itself_only() -> None:
    site = _site()
    node = topology.replicas(site, "chat")[0]
    assert server_names(site, node) == ((), (IPv4Address("10.20.0.22"),))


@pytest.mark.parametrize("environment", ["lab", "hardware"])
def test_only_real_machines_have_a_device_to_hand_in(environment: str) -> None:
    site = _site(environment=environment)
    assert _variables(site, "oslo-chat-01")["triton_gpu"] is (environment == "hardware")
    assert _variables(site, "oslo-pulse-01")["triton_gpu"] is False


@pytest.mark.parametrize(
    ("pinned", "repository"),
    [
        ("assistant@sha256:ab", "checkpoints/assistant"),
        ("checkpoints/assistant@sha256:ab", "checkpoints/assistant"),
    ],
)
def test_a_checkpoint_is_found_in_its_repository(pinned: str, repository: str) -> None:
    assert checkpoint_repository(pinned) == repository


def test_an_image_is_named_in_full() -> None:
    assert image_reference(_site(), "triton@sha256:ab") == (
        "registry.example.net/images/triton@sha256:ab"
    )


def test_one_slot_serves_and_ports_never_clash() -> None:
    slots = _variables(_site(), "oslo-chat-01")["triton_slots"]
    assert [s["name"] for s in slots if s["enabled"]] == ["a"]
    ports = [s[p] for s in slots for p in ("http_port", "grpc_port", "metrics_port")]
    assert len(set(ports)) == len(ports)


@pytest.mark.parametrize(
    ("signers", "demanded", "told"),
    [(None, False, {}), ({}, True, {}), ({"release": "PEM"}, True, {"release": "PEM"})],
)
def test_a_node_is_told_whose_signature_a_baseline_needs(
    signers: dict[str, str] | None, demanded: bool, told: dict[str, str]
) -> None:
    seen = _told(_site(), "oslo-chat-01", replace(PUBLIC, baseline_signers=signers))
    assert seen["permafrost_node_baselines_signed"] is demanded
    assert seen["permafrost_node_baseline_signers"] == told
