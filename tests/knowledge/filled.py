"""The collection that clients search and insert into, and the users who may."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pymilvus import DataType

from tests.knowledge.driver import COLLECTION, Door
from tests.knowledge.vectors import DIMENSION, vectors

BATCH = 1000


def users_of(folder: Path) -> dict[str, str]:
    """Return the users of the site file in a folder, and root, with their passwords."""
    found = {file.name: file.read_text().strip() for file in (folder / "users").iterdir()}
    return {**found, "root": (folder / "state" / "secrets" / "milvus-root").read_text()}


def filled(door: Door, users: dict[str, str]) -> np.ndarray:
    """Return the vectors of the collection, loaded into two replicas; made where missing."""
    wanted = vectors()
    root = door.client("root", users["root"])
    if not root.has_collection(COLLECTION):
        schema = root.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("v", DataType.FLOAT_VECTOR, dim=DIMENSION)
        root.create_collection(COLLECTION, schema=schema, num_shards=2)
        loader = door.client("loader", users["loader"])
        for start in range(0, len(wanted), BATCH):
            rows = [
                {"id": start + i, "v": vector.tolist()}
                for i, vector in enumerate(wanted[start : start + BATCH])
            ]
            assert loader.insert(COLLECTION, rows, timeout=60)["insert_count"] == len(rows)
        root.flush(COLLECTION, timeout=120)
        index = root.prepare_index_params()
        index.add_index("v", index_type="IVF_FLAT", metric_type="COSINE", params={"nlist": 128})
        root.create_index(COLLECTION, index, timeout=300)
    root.load_collection(COLLECTION, replica_number=2, timeout=300)
    return wanted
