"""What spoils a good site document: one key, or several together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Edit = Callable[[dict[str, Any]], Any]
DELETED = object()
CHAT = "inference.chat"


def put(path: str, value: Any) -> Edit:
    """Return an edit that sets one key, or removes it."""

    def edit(values: dict[str, Any]) -> None:
        *above, last = path.split(".")
        for key in above:
            values = values.setdefault(key, {})
        if value is DELETED:
            del values[last]
        else:
            values[last] = value

    return edit


def racks(labels: dict[str, Any]) -> Edit:
    return all_of(put("failure_domains.level", "rack"), put("hosts", labels))


EXTERNAL_STORE = {
    "address": "s3.example.net",
    "bucket": "knowledge",
    "access_key": "permafrost",
    "secret_key_file": "secrets/vcenter",
}


def knowledge(**milvus: Any) -> Edit:
    return put("knowledge", {"milvus": milvus})


def registry(**node: Any) -> Edit:
    values = {"address": "10.64.1.110", **node}
    return all_of(
        put("registry.url", "oci://10.64.1.110:5000"),
        put("registry.ca_file", None),
        put("registry.node", values),
    )


def named_registry(values: dict[str, Any]) -> None:
    registry()(values)
    values["inference"]["registry"] = values["inference"].pop("pulse")


def all_of(*edits: Edit) -> Edit:
    return lambda values: [edit(values) for edit in edits]


def renamed(values: dict[str, Any]) -> None:
    values["inference"]["knowledge"] = values["inference"].pop("pulse")
