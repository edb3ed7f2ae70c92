"""An edge is reloaded, gets another certificate, refuses a thousand wrong keys: under a load."""

from __future__ import annotations

import hashlib
import http.client
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tests.contract.edge.front import OWN, PORT, Asked, Front
from tests.contract.edge.otherwise import without_lines

RATE, WRONG, HELD = 25, 1000, 20
KEY = "pf-good"


def load(front: Front, meanwhile: Callable[[], None], key: str = KEY) -> list[Asked]:
    """Ask on a schedule, each on a connection of its own, as long as something else is done."""
    asked: list[Asked] = []
    threads: list[threading.Thread] = []
    ended = threading.Event()

    def one() -> None:
        asked.append(front.ask(authorization=f"Bearer {key}") if key else front.ask())

    def send() -> None:
        began, n = time.time(), 0
        while not ended.wait(max(0.0, began + n / RATE - time.time())):
            threads.append(threading.Thread(target=one))
            threads[-1].start()
            n += 1

    sender = threading.Thread(target=send)
    sender.start()
    time.sleep(1)
    meanwhile()
    time.sleep(1)
    ended.set()
    sender.join()
    for thread in threads:
        thread.join()
    return asked


def certificate(front: Front) -> str:
    """Return the certificate that the edge shows, as text."""
    return ssl.get_server_certificate((OWN, PORT), ca_certs=str(front.folder / "pki/ca.pem"))


def changes(folder: Path, *, graceful: bool) -> dict[str, Any]:
    """Reload three times, once with another certificate; the control starts anew instead."""
    clients = {hashlib.sha256(KEY.encode()).hexdigest().upper(): "shop:0"}
    shown: list[str] = []
    with Front(folder, clients=clients) as front:

        def meanwhile() -> None:
            shown.append(certificate(front))
            for renewed in (False, True, False):
                if renewed:
                    front.renew_certificate()
                front.reload() if graceful else front.start_anew()
                time.sleep(1)
            shown.append(certificate(front))

        asked = load(front, meanwhile)
    return {
        "statuses": Counter(str(a.status) for a in asked),
        "requests": len(asked),
        "certificates": len(set(shown)),
    }


def waiting(folder: Path, *, lacks: str = "", sick: str = "") -> dict[str, Any]:
    """Hold connections that wait, reload, then ask once more on each; say what they were told.

    ``lacks``: what lines of the edge's configuration are left out; ``sick``: a slot that is not
    well any more when they ask.
    """
    without = partial(without_lines, lacks) if lacks else None
    with Front(folder, changed=without) as front:
        context = ssl.create_default_context(cafile=str(front.folder / "pki/ca.pem"))
        held = [
            http.client.HTTPSConnection(OWN, PORT, timeout=20, context=context)
            for _ in range(HELD)
        ]
        before = [_ask_on(connection) for connection in held]
        front.reload()
        if sick:
            front.sicken(sick)
        after = [_ask_on(connection) for connection in held]
    return {
        "before": Counter(status for status, _ in before),
        "after": Counter(status for status, _ in after),
        "said_to_be_the_last": sum("close" in told for _, told in after),
    }


def half_sent(folder: Path) -> dict[str, Any]:
    """Send half a request with a key, reload, send the rest: the site demands keys."""
    clients = {hashlib.sha256(KEY.encode()).hexdigest().upper(): "shop:0"}

    def demanding(text: str) -> str:
        forget = "    http-request del-header authorization\n"
        return text.replace(forget, f"    http-request deny unless has_key\n{forget}")

    with Front(folder, clients=clients, changed=demanding, is_answered=False) as front:
        while front.ask(authorization=f"Bearer {KEY}").status != HTTPStatus.OK:
            time.sleep(0.1)
        context = ssl.create_default_context(cafile=str(front.folder / "pki/ca.pem"))
        client = http.client.HTTPSConnection(OWN, PORT, timeout=20, context=context)
        client.putrequest("POST", "/v2/models/chat/generate")
        client.putheader("authorization", f"Bearer {KEY}")
        client.putheader("content-length", "2")
        client.endheaders(b"{")
        front.ask(authorization=f"Bearer {KEY}")  # by then the edge has the other's header
        front.reload()
        client.send(b"}")
        answer = client.getresponse()
        answer.read()
        return {"status": answer.status, "without": front.ask().status}


def _ask_on(connection: http.client.HTTPSConnection) -> tuple[str, str]:
    """Return status and what is said of the connection; a status of 0 where it was closed."""
    connection.auto_open = 0  # no second try on a connection of its own
    try:
        if connection.sock is None:
            connection.connect()
        connection.request("POST", "/v2/models/chat/generate", b"{}")
        answer = connection.getresponse()
        answer.read()
    except (http.client.HTTPException, OSError):
        return "0", ""
    return str(answer.status), answer.headers.get("connection", "").lower()


def wrong_keys(folder: Path) -> dict[str, Any]:
    """Offer a thousand wrong keys while a client with a right one asks."""
    clients = {hashlib.sha256(KEY.encode()).hexdigest().upper(): "shop:0"}
    refused: Counter[int] = Counter()
    with Front(folder, clients=clients) as front, ThreadPoolExecutor(8) as pool:

        def meanwhile() -> None:
            keys = (f"Bearer pf-wrong-{n}" for n in range(WRONG))
            refused.update(pool.map(lambda key: front.ask(authorization=key).status, keys))

        asked = load(front, meanwhile)
    return {"statuses": Counter(a.status for a in asked), "refused": refused}
