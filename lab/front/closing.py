"""What ``make up`` demands of a deployed site, and what it says in the end. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

QUESTION = "What is the capital of France?"


def answered(endpoint: str, answer: Mapping[str, Any]) -> str:
    """Return what an endpoint answered, from where, and how long it took."""
    text = " ".join(str(answer["text"]).split())
    return (
        f"    {endpoint}: “{text[:90]}”\n      from {answer['replica']}, "
        f"{answer['checkpoint'][:19]}…, {answer['total_ms']:.0f} ms"
    )


def found_right(knowledge: Mapping[str, Any]) -> list[str]:
    """Return what each proxy of the knowledge tier made of the known answers.

    Raises ValueError where one was asked nothing, or was not right each time: a tier that answers
    is not yet one that answers right.
    """
    lines = []
    for proxy in knowledge["proxies"]:
        found = proxy["canaries"]
        line = f"{proxy['member']}: {found['right']} of {found['asked']} known answers right"
        if not found["right"] == found["asked"] > 0:
            raise ValueError(f"proxy {line}")
        lines.append(f"    knowledge, by the proxy of {line}")
    if not lines:
        raise ValueError("no proxy of the knowledge tier answers")
    return lines


def guide(site: str, status: Mapping[str, Any]) -> str:
    """Return how to use a site: what is asked, taken away and removed; ``site``: its file."""
    lines = [
        f"\nThe site is described in {site}. In this folder:",
        f"    export PERMAFROST_SITE={site}",
        "    .venv/bin/permafrost status",
    ]
    for endpoint in status["endpoints"][:1]:
        last = endpoint["replicas"][:2][-1]["name"]
        lines.append(f'    .venv/bin/permafrost ask {endpoint["name"]} "{QUESTION}"')
        lines.append(f"    .venv/bin/permafrost drain {last} --yes")
    lines += ["    .venv/bin/permafrost-lab status", "    make down"]
    if (knowledge := status["knowledge"]) is not None:
        folder = site.removesuffix("/site.yaml")
        lines.append(
            f"Milvus: https://{knowledge['address']}, by its own clients (pymilvus); authority "
            f"{folder}/state/pki/ca.pem, passwords of the site file's users in {folder}/users/"
        )
    return "\n".join(lines) + "\n"
