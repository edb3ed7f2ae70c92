"""Connect to a member that is refused, and to another one; run as ``unshare --net python -m …``.

Prints JSON: for each moment, by member, "answered", "refused" or how else it ended.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread
from types import ModuleType

from tests.golden.ansible.programs import load_program

LOST, ALIVE, PORT = "10.20.0.26", "10.20.0.24", 9092
SILENT = "10.20.9.9"
"""Whatever is sent there is swallowed."""
WATCH = "knowledge_watch/permafrost-knowledge-watch.py.j2"
SHUNNED_S, ENDS_S = 3.0, 30.0


def ask(address: str) -> str:
    """Return how a connection ended."""
    try:
        socket.create_connection((address, PORT), 2.0).close()
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return repr(error)
    return "answered"


def moments(program: ModuleType, rules: Path) -> dict[str, dict[str, str]]:
    """Return how both were reached at each moment."""
    found = {}

    def note(moment: str) -> None:
        found[moment] = {address: ask(address) for address in (LOST, ALIVE)}

    program.shun([LOST], [])
    note("without walls")
    subprocess.run(["nft", "--file", str(rules)], check=True)
    note("with walls")
    kept = socket.create_connection((LOST, PORT), 2.0)
    program.shun([LOST], [])
    note("shunned")
    found["its machine"] = {LOST: str(program.answers(LOST))}
    program.shun([SILENT], [])
    # Our own refusal is no answer of its machine.
    found["a silent machine"] = {SILENT: f"{ask(SILENT)}, {program.answers(SILENT)}"}
    program.shun([LOST], [SILENT])
    kept.send(b"?")
    found["what stood before"] = {LOST: "stands" if kept.recv(1) == b"!" else "ended"}
    time.sleep(SHUNNED_S * 2 / 3)
    program.shun([LOST], [])
    time.sleep(SHUNNED_S * 2 / 3)
    note("said again")
    ends = time.monotonic() + ENDS_S
    while ask(LOST) == "refused" and time.monotonic() < ends:
        time.sleep(0.05)
    note("said no more")
    program.shun([LOST], [])
    program.shun([], [LOST])
    note("back")
    program.shun([], [LOST])
    note("back, said twice")
    return found


def serve(address: str) -> None:
    """Accept at an address until this process ends; answer the one that asks."""
    server = socket.create_server((address, PORT))

    def answer(connection: socket.socket) -> None:
        if connection.recv(1):
            connection.send(b"!")

    def accept() -> None:
        while True:
            connection, _ = server.accept()
            Thread(target=answer, args=(connection,), daemon=True).start()

    Thread(target=accept, daemon=True).start()


def main(rules: Path, folder: Path) -> None:
    """Bring both members' addresses up here, and say how they are reached."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in (LOST, ALIVE):
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
        serve(address)
    silent = (("link", "add", "nobody", "type", "veth", "peer", "name", "beyond"),
              ("link", "set", "nobody", "up"), ("link", "set", "beyond", "up"),
              ("address", "add", "10.20.9.1/24", "dev", "nobody"))  # fmt: skip
    for command in silent:
        subprocess.run(["ip", *command], check=True)
    program = load_program(folder, WATCH, "bergen-knowledge-02")
    vars(program)["SHUNNED_S"] = SHUNNED_S
    with contextlib.redirect_stdout(sys.stderr):
        found = moments(program, rules)
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
