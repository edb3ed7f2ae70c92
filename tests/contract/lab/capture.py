"""Writes down every frame that a network namespace's card sees, a JSON line each.

``python capture.py LINK FILE``, entered into the namespace by nsenter. Standard library only.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from pathlib import Path

OUTGOING = 4


def frame(raw: bytes) -> dict[str, object]:
    """Return what a frame is: protocol, addresses, TCP flags."""
    (kind,) = struct.unpack_from("!H", raw, 12)
    seen: dict[str, object] = {
        "from": raw[6:12].hex(":"),
        "to": raw[0:6].hex(":"),
        "what": hex(kind),
    }
    if kind == 0x0806:
        seen["what"] = "arp"
    elif kind == 0x0800:
        head = (raw[14] & 15) * 4
        protocol = raw[23]
        seen["what"] = {1: "icmp", 6: "tcp", 17: "udp"}.get(protocol, f"ip {protocol}")
        if protocol == 6:
            flags = raw[14 + head + 13]
            names = [
                n for bit, n in ((1, "fin"), (2, "syn"), (4, "rst"), (16, "ack")) if flags & bit
            ]
            seen["flags"] = names
    return seen


def main() -> None:
    """Capture until ended."""
    link, path = sys.argv[1], Path(sys.argv[2])
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
    port.bind((link, 0x0003))
    with path.open("w", buffering=1) as out:
        out.write(json.dumps({"at": time.time(), "what": "begin"}) + "\n")
        while True:
            raw, address = port.recvfrom(65535)
            if len(raw) >= 34:
                line = {"at": time.time(), "sent": address[2] == OUTGOING, **frame(raw)}
                out.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
