"""One scenario in a network of its own, run as ``unshare --net python -m …``; prints JSON."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from permafrost.adapters.inference import ask_endpoint
from permafrost.errors import Failed
from permafrost.pki.certificates import Issued
from permafrost.pki.owners import EdgeTrust
from tests.contract.edge.broken import broken
from tests.contract.edge.changes import changes, half_sent, waiting, wrong_keys
from tests.contract.edge.conversation import conversation
from tests.contract.edge.cutover import cutover
from tests.contract.edge.failing import failing
from tests.contract.edge.front import NODES, OWN, PORT, VIP, Asked, Front
from tests.contract.edge.held import answered, talking
from tests.contract.edge.held import late as held_late
from tests.contract.edge.late import late, starved
from tests.contract.edge.names import names
from tests.contract.edge.otherwise import with_defaults, with_direct_checks
from tests.contract.edge.overload import overload
from tests.contract.edge.planted import planted
from tests.contract.edge.real import real
from tests.contract.edge.slow import slow
from tests.contract.edge.stock import stock
from tests.contract.edge.stream import HOUR, SHORT, ended_early, stream
from tests.fakes.owners import certify

RATE, LOST_AFTER_S, LASTS_S = 12, 3.0, 11.0
LOST = "oslo-chat-02"
SLOW_S = 0.8
PINNED = "sha256:" + "1" * 64
OTHER = "sha256:" + "2" * 64


def loss(folder: Path, *, plain: bool) -> dict[str, Any]:
    """Send requests on a schedule, lose a node silently in the middle; say what clients saw."""
    asked: list[Asked] = []
    threads = []
    with Front(folder, changed=with_defaults if plain else None) as front:
        began = time.time()
        lost = 0.0
        for n in range(int(RATE * LASTS_S)):
            time.sleep(max(0.0, began + n / RATE - time.time()))
            if not lost and n >= RATE * LOST_AFTER_S:
                front.lose(LOST)
                lost = time.time()
            thread = threading.Thread(target=lambda: asked.append(front.ask()))
            thread.start()
            threads.append(thread)
        for thread in threads:
            thread.join()
    under_way = [a for a in asked if a.began < lost <= a.began + a.took_s]
    new = [a for a in asked if a.began >= lost]
    return {
        "new": len(new),
        "new_failed": sum(a.status != 200 for a in new),
        "new_slowest_s": max(a.took_s for a in new),
        "gap_s": max([a.began - lost for a in new if a.took_s > SLOW_S or a.status != 200] or [0]),
        "under_way": len(under_way),
        "under_way_failed": sum(a.status != 200 for a in under_way),
        "under_way_slowest_s": max([a.took_s for a in under_way] or [0]),
        "failures": [
            [a.began - lost, a.took_s, a.status, a.body] for a in asked if a.status != 200
        ],
        "answered_by_lost": sum(a.headers.get("permafrost-replica") == LOST for a in new),
    }


def digest(key: str) -> str:
    """Return a key's hash as the edges know it."""
    return hashlib.sha256(key.encode()).hexdigest().upper()


def door(folder: Path) -> dict[str, Any]:
    """Ask for everything that the front door decides."""
    now = int(time.time())
    clients = {
        digest("pf-good"): "shop:0",
        digest("pf-later"): f"shop:{now + 600}",
        digest("pf-ended"): f"shop:{now - 5}",
    }
    with Front(folder, clients=clients) as front:
        asks = {
            "plain": front.ask(),
            "by the common address": front.ask(VIP),
            "id kept": front.ask(x_request_id="order-66"),
            "id replaced": front.ask(x_request_id="two words"),
            "pin loaded": front.ask(permafrost_checkpoint=PINNED),
            "pin not loaded": front.ask(permafrost_checkpoint=OTHER),
            # Only told, not sent: an older HAProxy resets a client that is still sending.
            "too large": front.ask(data=b"x", content_length="300000"),
            "40 KB": front.ask(data=b"x" * 40_000),
            "long header": front.ask(x_long="y" * 7_000),
            "header too long": front.ask(x_long="y" * 8_200),
        }
        for key in ("good", "later", "ended", "wrong"):
            asks[f"key {key}"] = front.ask(authorization=f"Bearer pf-{key}")
        asks["key otherwise"] = front.ask(authorization="Basic cGYtZ29vZA==")
        wrong = [front.ask(authorization=f"Bearer pf-{n}").status for n in range(200)]
        asks["key good again"] = front.ask(authorization="Bearer pf-good")
    found: dict[str, Any] = {
        name: {"status": a.status, "headers": a.headers, "body": a.body}
        for name, a in asks.items()
    }
    return {**found, "wrong keys": sorted(set(wrong)), "nodes": sorted(NODES)}


def owners(folder: Path) -> dict[str, Any]:
    """Edge with a certificate of its owner, nodes with its authority; ask as the product does."""
    root = certify("root", is_authority=True)
    between = certify("between", root, is_authority=True)
    edge = certify("edge", between, names=("chat.example.com",))
    chain = (edge.pem + between.pem).decode()
    trust = EdgeTrust(chain, "chat.example.com")
    ways = {
        "known": trust,
        "by another name": EdgeTrust(chain, "pulse.example.com"),
        "by another's certificate": EdgeTrust(
            certify("edge", between, names=("chat.example.com",)).pem.decode(), trust.name
        ),
        "by the root": EdgeTrust(root.pem.decode(), trust.name),
    }
    with Front(
        folder,
        brought=Issued(between.pem + root.pem, between.key_pem),
        certificate=chain + edge.key_pem.decode(),
        trust=trust,
    ):
        return {what: _ask(way) for what, way in ways.items()}


def _ask(trust: EdgeTrust) -> str:
    try:
        ask_endpoint(f"{OWN}:{PORT}", "chat", "hello", trust=trust, max_tokens=1, timeout_s=20)
    except Failed as error:
        return error.code
    return "answered"


def share(folder: Path, sick: str) -> dict[str, Any]:
    """Ask many times while a share goes to slot b, without a pin and with each."""
    pins = (PINNED,) if sick else (PINNED, OTHER)
    told = "chat/share 300\n"
    with (
        Front(folder, beside=OTHER, told=told, sick=sick) as front,
        ThreadPoolExecutor(max_workers=20) as pool,
    ):
        free = list(pool.map(lambda _: front.ask(), range(300)))
        asked = pool.map(lambda pin: (pin, front.ask(permafrost_checkpoint=pin)), pins * 30)
        pinned = Counter((pin, _named(answer)) for pin, answer in asked)
    return {
        "free": Counter(_named(a) for a in free),
        "pinned": {pin: {said: n for (p, said), n in pinned.items() if p == pin} for pin in pins},
    }


def _named(asked: Asked) -> str:
    return f"{asked.status} {asked.headers.get('permafrost-checkpoint', '')}"


def main() -> None:
    """Run the scenario that the command line names, in the folder that it names."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    scenarios: dict[str, Callable[[Path], dict[str, Any]]] = {
        "changes": partial(changes, graceful=True),
        "changes-abrupt": partial(changes, graceful=False),
        "half-sent": half_sent,
        "waiting": waiting,
        "waiting-forgetful": partial(waiting, lacks="idle-close-on-response"),
        "waiting-sick": partial(waiting, sick="a"),
        "waiting-sick-alone": partial(waiting, sick="a", lacks="bool(true) if { stopping }"),
        "wrong-keys": wrong_keys,
        "overload": overload,
        "names": names,
        "cutover": partial(cutover, by_file=True),
        "cutover-runtime-alone": partial(cutover, by_file=False),
        "broken": broken,
        "real": real,
        "conversation": conversation,
        "stock": stock,
        "stream": partial(stream, talk=SHORT),
        "stream-abrupt": partial(stream, talk=SHORT, graceful=False),
        "stream-ended": partial(stream, talk=SHORT, changed=ended_early),
        "stream-hour": partial(stream, talk=HOUR),
        "held": partial(answered, blind=False),
        "held-blind": partial(answered, blind=True),
        "held-late": held_late,
        "held-talking": talking,
        **{f"failing-{kind}": partial(failing, kind=kind) for kind in ("hang", "kill", "backend")},
        **{
            f"planted-{kind}": partial(planted, kind=kind)
            for kind in ("template", "checkpoint", "byte", "nothing")
        },
        "door": door,
        "owners": owners,
        "share": partial(share, sick=""),
        "share-b": partial(share, sick="b"),
        "late": partial(late, late_s=1.5),
        "late-direct": partial(late, late_s=1.5, changed=with_direct_checks),
        "starved": starved,
        "starved-direct": partial(starved, changed=with_direct_checks),
        "silent": partial(late, late_s=8.0),
        "slow": partial(slow, limited=True),
        "slow-unlimited": partial(slow, limited=False),
    }
    run = scenarios.get(name, partial(loss, plain=name == "plain"))
    result = run(folder)
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main()
