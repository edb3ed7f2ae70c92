"""The package source: a folder of files over HTTP, for apt on the lab's machines.

``python -m lab.services.packages_server ADDRESS PORT FOLDER``. The repository is signed, so plain
HTTP changes nothing in what a machine trusts.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class Handler(SimpleHTTPRequestHandler):
    """Serves files; logs refusals only."""

    protocol_version = "HTTP/1.1"
    # A client that keeps a connection open must not keep a thread for ever.
    timeout = 60

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Keep quiet about what went well."""

    def list_directory(self, path: object) -> None:
        """Show no listings."""
        del path
        self.send_error(404)


class Server(ThreadingHTTPServer):
    """One thread a connection; a restart may take the port at once."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128


def main(argv: list[str] | None = None) -> int:
    """Serve until ended."""
    parser = argparse.ArgumentParser(prog="lab.services.packages_server")
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("folder")
    options = parser.parse_args(argv)
    handler = partial(Handler, directory=options.folder)
    with Server((options.address, options.port), handler) as server:
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
