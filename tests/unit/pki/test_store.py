import stat
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from permafrost.errors import Failed
from permafrost.pki import SitePki, ssh_key


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_asking_twice_gives_the_same_certificate(tmp_path: Path) -> None:
    pki = SitePki(tmp_path, "lab")
    first = pki.server_certificate("n1", addresses=[IPv4Address("10.0.0.1")])
    again = SitePki(tmp_path, "lab").server_certificate("n1", addresses=[IPv4Address("10.0.0.1")])
    assert first == again


def test_one_that_is_retired_is_replaced_by_another_of_the_same_authority(tmp_path: Path) -> None:
    pki = SitePki(tmp_path, "lab")
    first, authority = pki.server_certificate("lab-edge-01"), pki.ca_pem()
    pki.retire("lab-edge-02")
    assert pki.server_certificate("lab-edge-01") == first
    pki.retire("lab-edge-01")
    second = pki.server_certificate("lab-edge-01")
    assert second.certificate_pem != first.certificate_pem
    assert second.key_pem != first.key_pem
    assert pki.ca_pem() == authority


def test_a_new_name_gives_a_new_certificate_by_the_same_authority(tmp_path: Path) -> None:
    pki = SitePki(tmp_path, "lab")
    authority = pki.ca_pem()
    first = pki.server_certificate("n1")
    second = pki.server_certificate("n1", names=["chat.lab.permafrost.internal"])
    assert first != second
    assert pki.ca_pem() == authority


def test_private_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    SitePki(tmp_path, "lab").server_certificate("n1")
    ssh_key(tmp_path)
    for key in ("pki/ca.key", "pki/servers/n1.key", "ssh/id_ed25519"):
        assert _mode(tmp_path / key) == 0o600


def test_callers_at_the_same_time_get_one_authority(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(lambda _: SitePki(tmp_path, "lab").ca_pem(), range(16)))
    assert len(set(seen)) == 1


def test_a_cut_between_key_and_certificate_is_repaired(tmp_path: Path) -> None:
    pki = SitePki(tmp_path, "lab")
    pki.server_certificate("n1")
    (tmp_path / "pki/servers/n1.key").write_bytes((tmp_path / "pki/ca.key").read_bytes())
    repaired = pki.server_certificate("n1")
    assert repaired.key_pem == (tmp_path / "pki/servers/n1.key").read_text()
    assert repaired == pki.server_certificate("n1")


def test_a_lost_authority_key_is_not_replaced_in_silence(tmp_path: Path) -> None:
    pki = SitePki(tmp_path, "lab")
    pki.server_certificate("n1")
    (tmp_path / "pki/ca.key").unlink()
    with pytest.raises(Failed) as failure:
        pki.server_certificate("n1")
    assert failure.value.code == "PKI_AUTHORITY_BROKEN"


def test_the_ssh_key_is_made_once_and_ssh_keygen_reads_it(tmp_path: Path) -> None:
    key = ssh_key(tmp_path)
    assert ssh_key(tmp_path) == key
    read = subprocess.run(
        ["ssh-keygen", "-y", "-f", str(key.private_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    assert read.stdout.split()[:2] == key.public.split()[:2]
    assert key.public.startswith("ssh-ed25519 ")


BREAKS: dict[str, Callable[[bytes], bytes]] = {
    "another kind": lambda key: key.replace(b"ssh-ed25519", b"ssh-ed25518"),
    "another form": lambda key: key.replace(b"openssh-key-v1", b"openssh-key-v2"),
    "cut off": lambda key: key[:60],
    "nothing": lambda _: b"",
}


@pytest.mark.parametrize("broken", BREAKS)
def test_an_ssh_key_that_is_none_is_an_error_with_a_place(tmp_path: Path, broken: str) -> None:
    path = ssh_key(tmp_path).private_path
    first, *lines, last = path.read_text().splitlines()
    path.write_text("\n".join([first, *lines, last, ""]))
    ssh_key(tmp_path)  # the control
    key = BREAKS[broken](b64decode("".join(lines)))
    path.write_text("\n".join([first, b64encode(key).decode(), last, ""]))
    with pytest.raises(Failed, match="SSH_KEY_UNREADABLE") as failure:
        ssh_key(tmp_path)
    assert failure.value.problems[0].path == str(path)


@pytest.mark.parametrize("content", ["", "no key", "é", "-----BEGIN PRIVATE KEY-----\nMC4C\n"])
def test_a_file_that_is_no_ssh_key_is_an_error_with_a_place(tmp_path: Path, content: str) -> None:
    path = ssh_key(tmp_path).private_path
    path.write_text(content)
    with pytest.raises(Failed, match="SSH_KEY_UNREADABLE"):
        ssh_key(tmp_path)
