"""Ask servers for something by UDP, with and without walls; run as ``unshare --net python -m …``.

Prints JSON: for "open" and "walled", by address and port, "answered" or "refused".
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from threading import Thread

NTP, OTHER = 123, 53
ANSWER_S = 5


def serve(address: str, port: int) -> None:
    """Answer everybody at one address and port, until this process ends."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind((address, port))

    def answer() -> None:
        while True:
            data, client = listener.recvfrom(64)
            listener.sendto(data, client)

    Thread(target=answer, daemon=True).start()


def ask(address: str, port: int) -> str:
    """Return how a question by UDP ended."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(ANSWER_S)
        try:
            client.connect((address, port))
            client.send(b"?")
            client.recv(64)
        except PermissionError:  # nftables rejects what this machine itself sends
            return "refused"
        except ConnectionRefusedError:
            return "refused"
    return "answered"


def main(rules: Path, *servers: str) -> None:
    """Ask every server before and after the rules are loaded."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for server in servers:
        subprocess.run(["ip", "address", "add", f"{server}/32", "dev", "lo"], check=True)
        for port in (NTP, OTHER):
            serve(server, port)
    places = [(server, port) for server in servers for port in (NTP, OTHER)]
    found = {"open": {f"{s}:{p}": ask(s, p) for s, p in places}}
    subprocess.run(["nft", "--file", str(rules)], check=True)
    found["walled"] = {f"{s}:{p}": ask(s, p) for s, p in places}
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
