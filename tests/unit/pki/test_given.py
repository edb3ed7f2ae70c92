"""What an owner's certificates must be: each thing that is wrong has a code and its place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

import pytest

from permafrost.pki import given
from tests.fakes.owners import YEAR, Certified, certify

NOW = datetime.now(UTC)
ROOT = certify("root", is_authority=True)
BETWEEN = certify("between", ROOT, is_authority=True)
EDGE = certify("edge", BETWEEN, names=("chat.example.com", "10.0.0.5"))
OTHER = certify("other", ROOT, names=("chat.example.com",))
OLD = certify("old", BETWEEN, names=("a.example.com",), begins=NOW - 2 * YEAR)
EARLY = certify("early", BETWEEN, names=("a.example.com",), begins=NOW + timedelta(days=2))
NAMELESS = certify("nameless", BETWEEN)


def codes(
    certificates: tuple[Certified, ...], key: bytes, *, authority: bool = False
) -> list[str]:
    judge = given.authority_problems if authority else given.server_problems
    found = judge(b"".join(c.pem for c in certificates), key, NOW, "edge.tls")
    assert all(p.path.startswith("edge.tls.") and p.hint for p in found)
    return [p.code for p in found]


def test_what_is_good() -> None:
    assert codes((EDGE, BETWEEN), EDGE.key_pem) == []
    assert codes((EDGE,), EDGE.key_pem) == []
    assert codes((BETWEEN, ROOT), BETWEEN.key_pem, authority=True) == []
    assert codes((ROOT,), ROOT.key_pem, authority=True) == []


@pytest.mark.parametrize(
    ("certificates", "key", "wanted"),
    [
        ((EDGE, BETWEEN), OTHER.key_pem, ["CERTIFICATE_KEY_MISMATCH"]),
        ((EDGE, BETWEEN), EDGE.locked_key_pem, ["CERTIFICATE_KEY_ENCRYPTED"]),
        ((EDGE, BETWEEN), b"something", ["CERTIFICATE_KEY_UNREADABLE"]),
        ((), EDGE.key_pem, ["CERTIFICATE_UNREADABLE"]),
        ((), b"", ["CERTIFICATE_UNREADABLE", "CERTIFICATE_KEY_UNREADABLE"]),
        ((EDGE, ROOT), EDGE.key_pem, ["CERTIFICATE_CHAIN_BROKEN"]),
        ((OLD,), OLD.key_pem, ["CERTIFICATE_EXPIRED"]),
        ((EARLY,), EARLY.key_pem, ["CERTIFICATE_NOT_YET_VALID"]),
        ((NAMELESS,), NAMELESS.key_pem, ["CERTIFICATE_WITHOUT_NAMES"]),
    ],
)
def test_a_server_certificate_that_would_not_serve(
    certificates: tuple[Certified, ...], key: bytes, wanted: list[str]
) -> None:
    assert codes(certificates, key) == wanted


@pytest.mark.parametrize(
    ("certificates", "key", "wanted"),
    [
        ((EDGE, BETWEEN, ROOT), EDGE.key_pem, ["CERTIFICATE_NOT_AUTHORITY"]),
        ((BETWEEN,), BETWEEN.key_pem, ["CERTIFICATE_CHAIN_WITHOUT_ROOT"]),
    ],
)
def test_an_authority_that_could_not_sign(
    certificates: tuple[Certified, ...], key: bytes, wanted: list[str]
) -> None:
    assert codes(certificates, key, authority=True) == wanted


@pytest.mark.parametrize(
    ("names", "called"),
    [
        (("b.example.com", "a.example.com", "10.0.0.5"), "10.0.0.5"),
        (("b.example.com", "a.example.com"), "a.example.com"),
        (("*.example.com",), "permafrost.example.com"),
        ((), "10.0.0.5"),
    ],
)
def test_by_what_name_an_edge_is_verified(names: tuple[str, ...], called: str) -> None:
    assert given.called(
        (certify("e", ROOT, names=names).certificate,), IPv4Address("10.0.0.5")
    ) == (called)
