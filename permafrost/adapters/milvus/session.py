"""One connection to one proxy: through SSH to its member, then TLS as root.

pymilvus is imported where it is used: it is large, and most commands need none of it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from permafrost.adapters.milvus.certificate import certificate_fault
from permafrost.adapters.ssh import SshShell
from permafrost.errors import Failed, Problem

# gRPC's core writes to the terminal by itself; what it says is in the errors as well.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
CALL_S = 10.0
CONNECT_S = 8.0
ROOT = "root"
FIRST_PASSWORD = "Milvus"  # noqa: S105  (what Milvus is installed with; it is changed at once)


class MilvusRefusedError(Exception):
    """What the server or its client said; never more than its first words."""


@contextmanager
def connected(shell: SshShell, member: str, port: int, ca: Path, password: str) -> Iterator[Any]:
    """Give pymilvus' client for a block. Raises MilvusRefusedError or Failed."""
    from pymilvus import MilvusClient

    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    with shell.forwarded(member, port) as local:
        try:
            with translated():
                client = MilvusClient(
                    uri=f"https://127.0.0.1:{local}",
                    user=ROOT,
                    password=password,
                    server_pem_path=str(ca),
                    server_name=member,
                    timeout=CONNECT_S,
                )
        except MilvusRefusedError as error:
            raise MilvusRefusedError(certificate_fault(local, member, ca) or str(error)) from None
        try:
            yield client
        finally:
            client.close()


@contextmanager
def translated() -> Iterator[None]:
    """Turn whatever pymilvus and gRPC raise into MilvusRefusedError."""
    import grpc
    from pymilvus import MilvusException

    try:
        yield
    except MilvusException as error:
        raise MilvusRefusedError(first_words(str(error.message or error))) from None
    except (grpc.RpcError, grpc.FutureTimeoutError) as error:
        raise MilvusRefusedError(first_words(str(error) or type(error).__name__)) from None


def first_words(text: str) -> str:
    """Return the beginning of what a server said, in one line."""
    return " ".join(text.split())[:240]


def refused(member: str, what: str, error: MilvusRefusedError) -> Failed:
    """Return the error that a runbook raises."""
    return Failed(
        Problem(
            "KNOWLEDGE_NOT_ANSWERING",
            f"{what}: {error}",
            member,
            "`permafrost status` shows quorums, coordinators and canaries",
        )
    )
