from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

import pytest
from cryptography import x509

from permafrost.pki.certificates import (
    SERVER_LIFE,
    ServerNames,
    key_matches,
    names_of,
    new_authority,
    new_server,
    reason_to_renew,
)

NOW = datetime(2026, 5, 5, 14, 3, tzinfo=UTC)
ADDRESS = IPv4Address("10.0.0.20")
WANTED = ServerNames.of("lab-edge-01", ["chat.lab.permafrost.internal"], [ADDRESS])
AUTHORITY = new_authority("lab", NOW)


def test_a_server_certificate_speaks_for_all_its_names_and_addresses() -> None:
    issued = new_server(AUTHORITY, WANTED, NOW)
    certificate = x509.load_pem_x509_certificate(issued.certificate_pem)
    assert names_of(certificate) == (
        frozenset({"lab-edge-01", "chat.lab.permafrost.internal"}),
        frozenset({ADDRESS}),
    )
    assert key_matches(issued.certificate_pem, issued.key_pem)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not constraints.ca


def test_a_fitting_certificate_is_kept() -> None:
    issued = new_server(AUTHORITY, WANTED, NOW)
    assert reason_to_renew(issued.certificate_pem, WANTED, AUTHORITY.certificate_pem, NOW) is None


@pytest.mark.parametrize(
    ("wanted", "later", "reason"),
    [
        (WANTED, SERVER_LIFE - timedelta(days=29), "it ends on"),
        (ServerNames.of("lab-edge-01", [], [ADDRESS]), timedelta(), "names or addresses"),
        (
            ServerNames.of("lab-edge-01", WANTED.names, [IPv4Address("10.0.0.21")]),
            timedelta(),
            "names or addresses",
        ),
    ],
)
def test_a_certificate_that_no_longer_fits_is_renewed(
    wanted: ServerNames, later: timedelta, reason: str
) -> None:
    issued = new_server(AUTHORITY, WANTED, NOW)
    why = reason_to_renew(issued.certificate_pem, wanted, AUTHORITY.certificate_pem, NOW + later)
    assert why is not None
    assert reason in why


def test_a_certificate_of_another_authority_is_renewed() -> None:
    issued = new_server(new_authority("lab", NOW), WANTED, NOW)
    why = reason_to_renew(issued.certificate_pem, WANTED, AUTHORITY.certificate_pem, NOW)
    assert why == "it was signed by another authority"


def test_keys_do_not_show_in_a_repr() -> None:
    assert "PRIVATE" not in repr(AUTHORITY)


def test_a_member_that_shows_its_certificate_to_others_gets_one_for_that() -> None:
    both = ServerNames.of("lab-edge-01", WANTED.names, [ADDRESS], is_client=True)
    server = new_server(AUTHORITY, WANTED, NOW).certificate_pem
    why = reason_to_renew(server, both, AUTHORITY.certificate_pem, NOW)
    assert why == "it speaks for a server alone"
    client = new_server(AUTHORITY, both, NOW).certificate_pem
    assert reason_to_renew(client, both, AUTHORITY.certificate_pem, NOW) is None
    assert reason_to_renew(client, WANTED, AUTHORITY.certificate_pem, NOW) is None
