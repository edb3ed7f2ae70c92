"""Who may ask, by which name, under which certificate: it changes while others are served."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import pytest
from cryptography import x509
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.acceptance.conftest import endpoint
from tests.acceptance.driver import Cli, traffic, wait_until
from tests.acceptance.edges import On, Status, await_new_answers, reload
from tests.acceptance.history import LOSSLESS, began, counted, losses
from tests.acceptance.rotation import EDGES

pytestmark = pytest.mark.soak
Note = Callable[[str, object], None]
AT_MOST_S = 240
SHORT = ("--interval-ms", "50", "--max-tokens", "4", "--fresh")
BODY = {"text_input": "key", "sampling_parameters": json.dumps({"max_tokens": 1})}
WRONG_KEYS = 1000


def with_key(lab: Cli, key: str) -> Cli:
    """Return the load's command, asking with a client's key."""
    return Cli(lab.program, {**lab.env, "PERMAFROST_CLIENT_KEY": key})


@pytest.fixture
def shop(permafrost: Cli) -> Iterator[str]:
    """A client's key; afterwards nobody of these has one."""
    yield str(permafrost.json("client", "add", "shop", "--yes")["key"])
    for name in ("shop", "bank"):
        permafrost.run("client", "revoke", name, "--yes", expect=None)


def answers(client: httpx.Client, address: str, key: str) -> int:
    """Return the status that a request with a key gets."""
    url = f"https://{address}/v2/models/pulse/generate"
    return client.post(url, json=BODY, headers={"authorization": f"Bearer {key}"}).status_code


def test_keys_come_overlap_and_go_while_another_client_is_served(
    shop: str,
    permafrost: Cli,
    lab: Cli,
    client: httpx.Client,
    status: Status,
    tmp_path: Path,
    record_property: Note,
) -> None:
    """Refusals are recorded for the client whose keys end, which is the control, and no others."""
    seen = status()
    port = endpoint(seen, "pulse")["address"].rpartition(":")[2]
    doors = [f"{edge['address']}:{port}" for edge in seen["edges"]]
    bank = str(permafrost.json("client", "add", "bank", "--yes")["key"])
    banks, shops = with_key(lab, bank), with_key(lab, shop)
    with (
        traffic(banks, "pulse", 20, AT_MOST_S, 0.5, tmp_path / "bank", *SHORT) as ok,
        traffic(shops, "pulse", 10, AT_MOST_S, 0.5, tmp_path / "shop", *SHORT) as end,
    ):
        ok.await_steady()
        end.await_steady()
        wrong = [f"pf-wrong-{n}" for n in range(WRONG_KEYS)]
        with ThreadPoolExecutor(8) as pool:
            refused = set(pool.map(lambda key: answers(client, doors[0], key), wrong))
        assert refused == {401}
        rotated = str(
            permafrost.json("client", "rotate", "shop", "--overlap-s", "8", "--yes")["key"]
        )
        told = time.time()
        for door in doors:
            assert answers(client, door, rotated) == 200
            assert answers(client, door, shop) == 200, "the old one goes on for a while"
        for door in doors:
            wait_until("the old key ends", lambda d=door: answers(client, d, shop) == 401, 20)
        permafrost.run("client", "revoke", "shop", "--yes")
        for door in doors:
            assert answers(client, door, rotated) == 401
            assert answers(client, door, bank) == 200
        await_new_answers(ok)
        for load in (ok, end):
            load.end()
        summary = ok.finish()
        end.finish()
    ended = end.records()
    record_property("served_meanwhile", summary["outcomes"])
    record_property("ended", counted(ended))
    assert losses(summary) == LOSSLESS, summary
    turned_away = [r for r in ended if r["outcome"] != "ok"]
    assert {r["status"] for r in turned_away} == {401}
    assert min(map(began, turned_away)) >= told + 5, "not before the overlap was over"


def certificate_of(address: str, ca_file: Path) -> int:
    """Return the serial number of the certificate that an address shows."""
    host, _, port = address.partition(":")
    pem = ssl.get_server_certificate((host, int(port)), ca_certs=str(ca_file))
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


@pytest.mark.parametrize("node", [*EDGES, "lab-pulse-01"])
def test_a_certificate_is_rotated_and_nothing_is_lost(
    node: str,
    permafrost: Cli,
    lab: Cli,
    on: On,
    status: Status,
    ca_file: Path,
    tmp_path: Path,
) -> None:
    port = endpoint(status(), "pulse")["address"].rpartition(":")[2]
    file = "/etc/haproxy/tls/server.pem"
    before = on(node).check_output(f"sha256sum {file}")
    edges = {e["name"]: f"{e['address']}:{port}" for e in status()["edges"]}
    shown = {name: certificate_of(address, ca_file) for name, address in edges.items()}
    with (
        traffic(lab, "pulse", 25, AT_MOST_S, 0.5, tmp_path / "kept") as kept,
        traffic(lab, "pulse", 25, AT_MOST_S, 0.5, tmp_path / "new", "--fresh") as new,
    ):
        kept.await_steady()
        new.await_steady()
        permafrost.run("converge", node, "--renew-certificate", "--yes", timeout=300)
        await_new_answers(new)
        summaries = []
        for load in (kept, new):
            load.end()
            summaries.append(load.finish())
    assert [losses(s) for s in summaries] == [LOSSLESS] * 2, summaries
    assert on(node).check_output(f"sha256sum {file}") != before
    for name, address in edges.items():
        assert (certificate_of(address, ca_file) != shown[name]) == (name == node)


def test_control_the_certificate_of_another_machine_is_not_taken(
    lab: Cli, on: On, site_file: Path, tmp_path: Path
) -> None:
    """The load's clients look at certificates: with a wrong one every new request is lost."""
    servers = site_file.parent / "state/pki/servers"
    wrong = "".join((servers / f"lab-pulse-01.{kind}").read_text() for kind in ("pem", "key"))
    kept = "/etc/haproxy/tls/server.kept"
    try:
        for edge in EDGES:
            on(edge).check_output(f"cp -p /etc/haproxy/tls/server.pem {kept}")
            on(edge).check_output("printf %%s %s > /etc/haproxy/tls/server.pem", wrong)
            reload(on(edge))
        with traffic(lab, "pulse", 10, 3, 0, tmp_path / "load.jsonl", *SHORT) as load:
            summary = load.finish()
    finally:
        for edge in EDGES:
            on(edge).run(f"mv {kept} /etc/haproxy/tls/server.pem")
            reload(on(edge))
    assert summary["outcomes"]["failed"] == summary["requests"] > 0


@pytest.mark.parametrize("name", ["chat", "pulse"])
def test_each_endpoint_has_a_host_name(
    name: str, client: httpx.Client, status: Status, ca_file: Path
) -> None:
    seen = status()
    address = endpoint(seen, name)["address"]
    host = f"{name}.{seen['site']}.permafrost.internal"
    url = f"https://{address}/v2/models/{name}/ready"
    by_name = client.get(url, headers={"host": host}, extensions={"sni_hostname": host})
    assert by_name.status_code == 200
    # A connection that is there already would be used, whatever the name.
    context = ssl.create_default_context(cafile=str(ca_file))
    with (
        httpx.Client(verify=context) as anew,
        pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        anew.get(url, extensions={"sni_hostname": f"{name}.example.net"})
    credentials = grpc.ssl_channel_credentials(ca_file.read_bytes())
    override = [("grpc.ssl_target_name_override", host)]
    with grpc.secure_channel(address, credentials, options=override) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ModelReady(service_pb2.ModelReadyRequest(name=name), timeout=30).ready


def test_keys_are_in_no_log_and_no_file_of_the_edges(
    shop: str, client: httpx.Client, status: Status, on: On
) -> None:
    address = endpoint(status(), "pulse")["address"]
    asked = [answers(client, address, shop), answers(client, address, "pf-canary-2e")]
    assert asked == [200, 401]
    for edge in EDGES:
        logs = on(edge).check_output("journalctl --boot --no-pager --output=cat")
        files = on(edge).check_output("cat /etc/haproxy/*.map /etc/haproxy/*.cfg")
        for key in (shop, "pf-canary-2e"):
            assert key not in logs
            assert key not in files
