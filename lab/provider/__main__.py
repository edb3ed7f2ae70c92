"""Start the plugin: print the port, serve the engine, end with it."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from concurrent import futures

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from lab.provider.server import OPTIONS, WORKERS, Provider

LOOK_EVERY_S = 1.0
REACH_EVERY_S = 5.0
REACH_TIMEOUT_S = 2.0
UNREACHED_LIMIT = 3


def engine_reached(address: str) -> bool:
    """Say whether something still listens where the engine said it does."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_TIMEOUT_S):
            return True
    except (OSError, ValueError):
        return False


class EngineWatch:
    """Ends this process when the engine is gone, however that went.

    An engine that was killed tells nobody. Its plugin sees another parent, or that nothing
    listens at the engine's address any more.
    """

    def __init__(self, parent: int) -> None:
        self._parent = parent
        self._stop = threading.Event()

    def start(self) -> None:
        """Watch the parent process."""
        threading.Thread(target=self._watch_parent, daemon=True).start()

    def watch_address(self, address: str) -> None:
        """Watch the engine at this address too."""
        if address:
            threading.Thread(target=self._watch_address, args=(address,), daemon=True).start()

    def wait(self) -> None:
        """Block until the engine is gone."""
        self._stop.wait()

    def _watch_parent(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            if os.getppid() != self._parent:
                self._stop.set()

    def _watch_address(self, address: str) -> None:
        unreached = 0
        while not self._stop.wait(REACH_EVERY_S):
            unreached = 0 if engine_reached(address) else unreached + 1
            if unreached >= UNREACHED_LIMIT:
                self._stop.set()


def main(arguments: list[str]) -> None:
    """Serve until the engine goes: the plugin's program, then the address that it was given."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    watch = EngineWatch(os.getppid())
    server = grpc.server(futures.ThreadPoolExecutor(WORKERS), options=OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(watch.watch_address), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    watch.start()
    if len(arguments) > 1:
        watch.watch_address(arguments[-1])
    watch.wait()
    # Operations that still run have nobody to answer to, and vCenter goes on by itself.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
