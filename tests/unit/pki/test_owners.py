"""The owner's authority and the edges' certificate, from the site file to who trusts whom."""

from __future__ import annotations

import ssl
from datetime import timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from permafrost.errors import Refused
from permafrost.pki import (
    SitePki,
    edge_certificate,
    edge_trust,
    endings,
    owners_problems,
    site_pki,
)
from permafrost.site.load import LoadedSite, load_site
from permafrost.topology import service_address
from tests.fakes.owners import Certified, certify
from tests.fakes.site import document, write_site

ROOT = certify("root", is_authority=True)
BETWEEN = certify("between", ROOT, is_authority=True)
RENEWED = certify("between", ROOT, is_authority=True, key=BETWEEN.key)
STRANGER = certify("stranger", is_authority=True)


def site(
    folder: Path, *, edge: Certified | None = None, authority: Certified | None = None
) -> LoadedSite:
    values = document()
    write_site(folder)
    for name, one in (("edge", edge), ("authority", authority)):
        if one is None:
            continue
        chain = (one, BETWEEN) if name == "edge" else (one, ROOT)
        (folder / f"secrets/{name}.pem").write_bytes(b"".join(c.pem for c in chain))
        (folder / f"secrets/{name}.key").write_bytes(one.key_pem)
        (folder / f"secrets/{name}.key").chmod(0o600)
        files = {"certificate_file": f"secrets/{name}.pem", "key_file": f"secrets/{name}.key"}
        if name == "edge":
            values.setdefault("edge", {})["tls"] = files
        else:
            values["tls"] = {"authority": files}
    return load_site(write_site(folder, values))


def test_without_any_the_site_has_an_authority_of_its_own(tmp_path: Path) -> None:
    loaded = site(tmp_path)
    assert owners_problems(loaded) == ()
    assert edge_certificate(loaded) is None
    assert edge_trust(loaded).pem == SitePki(loaded.state_dir, "lab").ca_pem()
    assert edge_trust(loaded).name == str(service_address(loaded.site))


def test_nodes_are_signed_by_the_owners_authority_and_shown_with_those_in_between(
    tmp_path: Path,
) -> None:
    loaded = site(tmp_path, authority=BETWEEN)
    pki = site_pki(loaded)
    certificate = pki.server_certificate("n1", addresses=[IPv4Address("10.0.0.1")])
    assert certificate.certificate_pem.endswith(BETWEEN.pem.decode())
    assert pki.ca_pem() == (BETWEEN.pem + ROOT.pem).decode()
    assert pki.ca_path.read_text() == pki.ca_pem()
    assert not (pki.ca_path.parent / "ca.key").exists(), "the owner's key stays where it is"
    again = site_pki(loaded).server_certificate("n1", addresses=[IPv4Address("10.0.0.1")])
    assert again == certificate


def test_a_renewed_authority_is_taken_and_another_one_is_not(tmp_path: Path) -> None:
    site_pki(site(tmp_path, authority=BETWEEN)).server_certificate("n1")
    renewed = site_pki(site(tmp_path, authority=RENEWED))
    renewed.server_certificate("n1")
    assert renewed.ca_pem().startswith(RENEWED.pem.decode())
    with pytest.raises(Refused) as refused:
        site_pki(site(tmp_path, authority=certify("other", ROOT, is_authority=True))).ca_pem()
    assert refused.value.code == "PKI_AUTHORITY_CHANGED"
    assert site_pki(site(tmp_path, authority=RENEWED)).ca_pem() == renewed.ca_pem()


def test_a_site_with_nodes_does_not_change_to_an_owners_authority(tmp_path: Path) -> None:
    loaded = site(tmp_path)
    before = site_pki(loaded).server_certificate("n1")
    with pytest.raises(Refused) as refused:
        site_pki(site(tmp_path, authority=BETWEEN)).server_certificate("n1")
    assert refused.value.code == "PKI_AUTHORITY_CHANGED"
    assert site_pki(loaded).server_certificate("n1") == before


def test_edges_show_the_owners_certificate_and_are_known_by_it(tmp_path: Path) -> None:
    edge = certify("edge", BETWEEN, names=("chat.example.com",))
    loaded = site(tmp_path, edge=edge)
    shown = edge_certificate(loaded)
    assert shown is not None
    assert shown.certificate_pem.encode() == edge.pem + BETWEEN.pem
    assert edge_trust(loaded).name == "chat.example.com"
    assert isinstance(edge_trust(loaded).context(), ssl.SSLContext)


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_used(tmp_path: Path) -> None:
    loaded = site(tmp_path, edge=certify("edge", BETWEEN), authority=certify("no", ROOT))
    (tmp_path / "secrets/edge.key").write_bytes(STRANGER.key_pem)
    assert {(p.code, p.path) for p in owners_problems(loaded)} == {
        ("CERTIFICATE_KEY_MISMATCH", "edge.tls.key_file"),
        ("CERTIFICATE_WITHOUT_NAMES", "edge.tls.certificate_file"),
        ("CERTIFICATE_NOT_AUTHORITY", "tls.authority.certificate_file"),
    }
    with pytest.raises(Refused):
        site_pki(loaded)
    with pytest.raises(Refused):
        edge_certificate(loaded)
    assert not (loaded.state_dir / "pki").exists()


def test_until_when_what_the_owner_brings_is_good(tmp_path: Path) -> None:
    edge = certify("edge", BETWEEN, names=("chat.example.com",), life=timedelta(days=20))
    loaded = site(tmp_path, edge=edge, authority=BETWEEN)
    assert dict(endings(loaded)) == {
        "edge.tls": edge.certificate.not_valid_after_utc,
        # Of the whole chain: what was made first ends first.
        "tls.authority": min(c.certificate.not_valid_after_utc for c in (BETWEEN, ROOT)),
    }
    (tmp_path / "secrets/edge.pem").unlink()
    assert dict(endings(loaded))["edge.tls"] is None
