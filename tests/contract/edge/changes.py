"""An edge is reloaded, gets another certificate, refuses a thousand wrong keys: under a load."""

from __future__ import annotations

import hashlib
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.contract.edge.front import OWN, PORT, Asked, Front

RATE, WRONG = 25, 1000
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
