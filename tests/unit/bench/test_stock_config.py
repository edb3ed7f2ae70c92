"""The baseline's configuration: which servers it has, and what HAProxy says of them."""

from __future__ import annotations

import pytest

from tests.bench.stock_config import servers_up, stock_config

SERVERS = {"lab-pulse-01": "10.0.0.1", "lab-pulse-02": "10.0.0.2"}
STAT = """# pxname,svname,qcur,status,lastchg,
clients,FRONTEND,,OPEN,,
triton,lab-pulse-01,0,UP,4,
triton,lab-pulse-02,0,DOWN,4,
triton,lab-pulse-03,0,UP 1/3,4,
triton,BACKEND,0,UP,4,
alive,lab-pulse-04,0,UP,4,

"""


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if "server lab-" in line]


def test_every_server_is_checked_and_asked_over_verified_tls() -> None:
    found = lines(stock_config(8443, SERVERS))
    assert found == [
        f"server {name} {address}:8443 ssl verify required ca-file /etc/haproxy/tls/ca.pem "
        f"verifyhost {name} sni str({name}) check"
        for name, address in SERVERS.items()
    ]


def test_a_server_that_is_out_is_commented_out_and_nothing_else_changes() -> None:
    whole, less = (stock_config(9001, SERVERS, out) for out in ((), ("lab-pulse-01",)))
    changed = [
        (a, b) for a, b in zip(whole.splitlines(), less.splitlines(), strict=True) if a != b
    ]
    assert [b.replace("# ", "") for _, b in changed] == [a for a, _ in changed]
    assert len(changed) == 1
    assert changed[0][1].strip().startswith("# server lab-pulse-01 ")


def test_a_server_that_is_not_there_cannot_be_taken_out() -> None:
    with pytest.raises(ValueError, match="lab-pulse-09"):
        stock_config(9001, SERVERS, ("lab-pulse-09",))


def test_only_servers_of_the_backend_that_are_up_count() -> None:
    assert servers_up(STAT) == {"lab-pulse-01", "lab-pulse-03"}
    assert servers_up("") == frozenset()
