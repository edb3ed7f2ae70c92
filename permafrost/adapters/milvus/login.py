"""Whether a user's password holds: told apart from a server that does not answer.

One call by gRPC itself: pymilvus says the same of a wrong password and of a server that is away.
"""

from __future__ import annotations

import base64
from pathlib import Path

from permafrost.adapters.milvus.session import CALL_S, MilvusRefusedError, first_words


def logs_in(port: int, member: str, ca: Path, user: str, password: str) -> bool:
    """Return whether the proxy behind a port of the loopback lets this user in.

    Raises MilvusRefusedError when it says neither yes nor no.
    """
    import grpc
    from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc

    credentials = grpc.ssl_channel_credentials(root_certificates=ca.read_bytes())
    options = [("grpc.ssl_target_name_override", member)]
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials, options=options) as channel:
        stub = milvus_pb2_grpc.MilvusServiceStub(channel)
        try:
            stub.GetVersion(
                milvus_pb2.GetVersionRequest(),
                metadata=[("authorization", token)],
                timeout=CALL_S,
                wait_for_ready=True,
            )
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                return False
            raise MilvusRefusedError(first_words(str(error.details()))) from None
    return True
