"""Search and insert through the tier's edges against pymilvus at the proxies of the same cluster.

Both are asked by the same clients with the same vectors, one right after the other, with TLS and a
password. A client without edges takes one proxy after the other, as the edges do: what is compared
is the way there, not how much work it is to answer by two proxies instead of one.
Alone: ``python -m tests.bench.knowledge [--rounds N]``, with PERMAFROST_SITE naming a deployed
site that has a knowledge tier.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from permafrost.planning.knowledge import proxies
from permafrost.site.load import LoadedSite, load_site
from permafrost.topology import service_address
from tests.bench.measure import Figures, in_turn
from tests.bench.path import FIGURES, memory_table
from tests.bench.site import let_in, named_site
from tests.knowledge.driver import Door
from tests.knowledge.vectors import DIMENSION, vectors

SECONDS, ROUNDS, BATCH = 4.0, 3, 1000
RIGHT_S, SETTLED_S = 5.0, 120.0
CLIENTS = (1, 8)
INSERTED = 100
"""Rows of one insert."""
TOGETHER = 16
"""Vectors of one request, as of a question that was put in several ways."""
COLLECTION = "bench"
OWN: dict[str, Any] = {"dedicated": True, "grpc_options": {"grpc.use_local_subchannel_pool": 1}}
"""A connection for each client: pymilvus shares one among all, and gRPC among all channels."""
Once = Callable[[], object]
Make = Callable[[Any], Once]


def closed_loop(asking: Sequence[Once], seconds: float) -> Figures:
    """Return what clients, each asking again as soon as it was answered, get.

    The first error is raised: a rate among failures says nothing.
    """
    latencies: list[float] = []
    errors: list[BaseException] = []
    begin = time.monotonic()

    def work(once: Once) -> None:
        while time.monotonic() - begin < seconds and not errors:
            asked = time.monotonic()
            try:
                once()
            except Exception as error:  # told by who started it
                errors.append(error)
                return
            latencies.append((time.monotonic() - asked) * 1000)

    threads = [threading.Thread(target=work, args=(once,)) for once in asking]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - begin
    if errors:
        raise errors[0]
    cuts = statistics.quantiles(latencies, n=100)
    return Figures(len(latencies) / took, cuts[49], cuts[98])


def measured(doors: Sequence[Door], password: str, make: Make, workers: int) -> Figures:
    """Return what some clients get, connected before the clock starts, each by itself.

    Each asks at one door after the other.
    """
    with ExitStack() as connections:

        def client() -> Once:
            ways = [
                make(connections.enter_context(closing(door.client("root", password, **OWN))))
                for door in doors
            ]
            return in_a_ring(ways)

        return closed_loop([client() for _ in range(workers)], SECONDS)


def in_a_ring(ways: Sequence[Once]) -> Once:
    """Return what asks in one way after the other."""
    turns = itertools.cycle(ways)
    return lambda: next(turns)()


def searching(client: Any, known: np.ndarray, together: int = 1) -> Once:
    """Return what searches for some known vectors after others, and finds each."""
    rows = itertools.cycle(range(0, len(known), 97))

    def once() -> None:
        asked = [next(rows) for _ in range(together)]
        found = client.search(COLLECTION, data=known[asked].tolist(), limit=10, timeout=15)
        for row, hits in zip(asked, found, strict=True):
            if not hits or int(hits[0]["id"]) != row:
                raise RuntimeError(f"row {row} was not found: {hits}")

    return once


def inserting(client: Any, known: np.ndarray, keys: Iterator[int]) -> Once:
    """Return what inserts rows of its own, some at a time; a later search finds none of them."""
    batch = [(-vector).tolist() for vector in known[:INSERTED]]

    def once() -> None:
        rows = [{"id": next(keys), "v": vector} for vector in batch]
        client.insert(COLLECTION, rows, timeout=15)

    return once


def await_right(once: Once) -> None:
    """Wait until known vectors have been found for a while: Milvus moves what it just loaded."""
    end, since = time.monotonic() + SETTLED_S, time.monotonic()
    while time.monotonic() - since < RIGHT_S:
        try:
            once()
        except Exception:
            if time.monotonic() > end:
                raise
            since = time.monotonic()
            time.sleep(0.2)


@contextmanager
def collection(door: Door, password: str, known: np.ndarray) -> Iterator[None]:
    """Make a collection with an index, load it into two replicas, drop it in the end."""
    from pymilvus import DataType

    root = door.client("root", password)
    if root.has_collection(COLLECTION):
        root.drop_collection(COLLECTION)
    schema = root.create_schema(auto_id=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=DIMENSION)
    root.create_collection(COLLECTION, schema=schema, num_shards=2)
    try:
        for start in range(0, len(known), BATCH):
            rows: list[dict[str, Any]] = [
                {"id": start + i, "v": vector.tolist()}
                for i, vector in enumerate(known[start : start + BATCH])
            ]
            root.insert(COLLECTION, rows, timeout=60)
        root.flush(COLLECTION, timeout=120)
        index = root.prepare_index_params()
        index.add_index("v", index_type="IVF_FLAT", metric_type="COSINE", params={"nlist": 128})
        root.create_index(COLLECTION, index, timeout=300)
        root.load_collection(COLLECTION, replica_number=2, timeout=300)
        yield
    finally:
        root.drop_collection(COLLECTION)


def doors(loaded: LoadedSite) -> tuple[Door, list[Door]]:
    """Return the clients' address, and those of the proxies themselves."""
    site, ca = loaded.site, loaded.state_dir / "pki" / "ca.pem"
    assert site.knowledge is not None
    through = Door(f"{service_address(site)}:{site.knowledge.milvus.port}", ca)
    return through, [Door(f"{node.address}:{u.public_port}", ca) for node, u in proxies(site)]


def throughput_table(site: Path, rounds: int = ROUNDS) -> Table:
    """Rates and latencies of both ways, medians of some rounds, and the ratio of each figure."""
    loaded = load_site(site)
    through, direct = doors(loaded)
    password = (loaded.state_dir / "secrets" / "milvus-root").read_text(encoding="utf-8")
    known, keys = vectors(), itertools.count(2_000_000_000)
    table = Table(title="pymilvus through the edges against proxies themselves, goal 0.95 (lab)")
    for heading in ("what", "clients", "figure", "proxies themselves", "through edges", "ratio"):
        table.add_column(heading, justify="right")
    # Searches first: they are to meet the same rows in each round.
    ways: dict[str, Make] = {
        "search": lambda client: searching(client, known),
        f"search of {TOGETHER}": lambda client: searching(client, known, TOGETHER),
        f"insert of {INSERTED}": lambda client: inserting(client, known, keys),
    }
    with ExitStack() as opened:
        opened.enter_context(collection(through, password, known))
        for member in {node.name for node, _ in proxies(loaded.site)}:
            opened.enter_context(let_in(member, loaded.site.network.gateway))
        for door in (*direct, through):
            with closing(door.client("root", password)) as client:
                await_right(searching(client, known))
        for what, make in ways.items():
            for workers in CLIENTS:
                base, edge = in_turn(
                    rounds,
                    lambda make=make, n=workers: measured(direct, password, make, n),
                    lambda make=make, n=workers: measured([through], password, make, n),
                )
                for row in rows_of(what, workers, base, edge):
                    table.add_row(*row)
    return table


def rows_of(what: str, workers: int, base: Figures, edge: Figures) -> Iterator[tuple[str, ...]]:
    """Yield a line for each figure, with the ratio of the edges' to the proxy's own."""
    for label, name in FIGURES:
        b, e = getattr(base, name), getattr(edge, name)
        yield what, str(workers), label, f"{b:.2f}", f"{e:.2f}", f"{e / b:.2f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="tests.bench.knowledge", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each way")
    console = Console(width=120)
    console.print(throughput_table(named_site(), parser.parse_args().rounds))
    console.print(memory_table())
