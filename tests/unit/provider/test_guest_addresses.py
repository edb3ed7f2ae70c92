"""Which of a guest's addresses count."""

from __future__ import annotations

from typing import Any

import pytest

from lab.provider.vm.power import usable
from lab.provider.vsphere import vim


def net(*addresses: str) -> Any:
    info = vim.net.IpConfigInfo(
        ipAddress=[
            vim.net.IpConfigInfo.IpAddress(
                ipAddress=a.partition("/")[0], prefixLength=int(a.partition("/")[2])
            )
            for a in addresses
        ]
    )
    return vim.vm.GuestInfo.NicInfo(ipConfig=info, connected=True, deviceConfigId=1, network="n")


def stack(gateway: str) -> Any:
    route = vim.net.IpRouteConfigInfo.IpRoute(
        network="0.0.0.0",
        prefixLength=0,
        gateway=vim.net.IpRouteConfigInfo.Gateway(ipAddress=gateway),
    )
    return vim.vm.GuestInfo.StackInfo(ipRouteConfig=vim.net.IpRouteConfigInfo(ipRoute=[route]))


@pytest.mark.parametrize(
    ("addresses", "gateway", "ignored", "found"),
    [
        (["10.0.0.5/24"], "10.0.0.1", [], ["10.0.0.5"]),
        (["10.0.1.5/24"], "10.0.0.1", [], []),
        (["169.254.1.1/16", "127.0.0.1/8", "fe80::1/64"], "10.0.0.1", [], []),
        (["10.0.0.5/24", "10.0.0.6/24"], "10.0.0.1", ["10.0.0.5/32"], ["10.0.0.6"]),
    ],
)
def test_an_address_needs_a_way_out(
    addresses: list[str], gateway: str, ignored: list[str], found: list[str]
) -> None:
    assert usable([net(*addresses)], [stack(gateway)], ignored, routable=True) == found


def test_without_asking_for_a_route_any_address_will_do() -> None:
    assert usable([net("10.0.1.5/24")], [], [], routable=False) == ["10.0.1.5"]
