"""The canaries: making their collection, and asking it."""

from __future__ import annotations

from typing import Any

from permafrost.adapters.milvus.session import CALL_S
from permafrost.facts import CanaryAnswers
from permafrost.planning import canaries

LOAD_S = 60.0


def settle_canaries(client: Any, replicas: int) -> tuple[str, ...]:
    """Make the collection where it is missing or not whole; return what was changed."""
    name = canaries.COLLECTION
    changed = False
    if client.has_collection(name, timeout=CALL_S) and _rows(client) != canaries.ROWS:
        client.drop_collection(name, timeout=CALL_S)
    if not client.has_collection(name, timeout=CALL_S):
        _create(client)
        changed = True
    client.load_collection(name, replica_number=replicas, timeout=LOAD_S)
    return (f"collection {name}",) if changed else ()


def ask(client: Any, member: str) -> CanaryAnswers:
    """Ask every question, one by one: each may be answered by another replica."""
    right = wrong = 0
    for question in canaries.QUESTIONS:
        (hits,) = client.search(
            canaries.COLLECTION,
            data=[list(canaries.vector(question))],
            limit=canaries.NEIGHBOURS,
            search_params={"metric_type": "L2", "params": {}},
            consistency_level="Bounded",
            timeout=CALL_S,
        )
        is_right = tuple(int(hit["id"]) for hit in hits) == canaries.neighbours(question)
        right, wrong = right + is_right, wrong + (not is_right)
    return CanaryAnswers(member, right + wrong, right, wrong)


def loaded(client: Any) -> dict[str, int]:
    """Return each collection that is loaded or being loaded, with its percentage."""
    found: dict[str, int] = {}
    for name in client.list_collections(timeout=CALL_S):
        answer = client.get_load_state(name, timeout=CALL_S)
        state = getattr(answer["state"], "name", str(answer["state"]))
        if state == "Loaded":
            found[name] = 100
        elif state == "Loading":
            found[name] = int(answer.get("progress") or 0)
    return found


def _rows(client: Any) -> int:
    state = client.get_load_state(canaries.COLLECTION, timeout=CALL_S)["state"]
    if getattr(state, "name", "") != "Loaded":
        return -1
    answer = client.query(
        canaries.COLLECTION,
        filter="",
        output_fields=["count(*)"],
        consistency_level="Strong",
        timeout=CALL_S,
    )
    return int(answer[0]["count(*)"])


def _create(client: Any) -> None:
    from pymilvus import DataType

    name = canaries.COLLECTION
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=canaries.DIMENSION)
    index = client.prepare_index_params()
    index.add_index("v", index_type="FLAT", metric_type="L2")
    client.create_collection(name, schema=schema, timeout=LOAD_S)
    rows = [{"id": n, "v": list(canaries.vector(n))} for n in range(canaries.ROWS)]
    client.insert(name, rows, timeout=LOAD_S)
    client.flush(name, timeout=LOAD_S)
    client.create_index(name, index, timeout=LOAD_S)
