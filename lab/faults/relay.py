"""A relay between two machines' ports that loses and delays frames, in userspace.

The kernel here has no netem. So the bridge drops what goes between the two machines, and this
program takes each frame from the one port (a packet socket sees it before the bridge does) and
puts it out at the other, some later, some never. The virtio header goes along, so that frames
which the guests left to the card to cut and to sum stay whole.

``python -m lab.faults.relay LINK_A MAC_A LINK_B MAC_B [--loss 0..1] [--delay-ms D] …``
"""

from __future__ import annotations

import argparse
import heapq
import random
import selectors
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

ETH_P_ALL = 0x0003
SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 15, 23
VNET_HEADER = 10
FRAME_MAX = 1 << 17
RECEIVE_BUFFER = 8 << 20
RETRY_S = 0.05


def open_port(link: str) -> socket.socket:
    """Return a packet socket on a link; it sees what the machine sends, not what it is sent."""
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    port.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    port.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    port.setblocking(False)
    port.bind((link, ETH_P_ALL))
    return port


def is_for(frame: bytes, mac: bytes) -> bool:
    """Whether a frame (behind its virtio header) is for a card, or for everybody."""
    destination = frame[VNET_HEADER : VNET_HEADER + 6]
    return destination == mac or bool(destination and destination[0] & 1)


@dataclass
class Weather:
    """What becomes of a frame: lost with a probability, else late by so many seconds."""

    loss: float
    delay_s: float
    jitter_s: float
    dice: random.Random

    def lateness_s(self) -> float | None:
        """Return how late the next frame is, None when it is lost."""
        if self.dice.random() < self.loss:
            return None
        return self.delay_s + self.jitter_s * self.dice.random()


@dataclass
class Relay:
    """Two ports and the frames between them."""

    links: tuple[str, str]
    macs: tuple[bytes, bytes]
    weather: Weather
    ports: list[socket.socket | None] = field(default_factory=lambda: [None, None])
    queue: list[tuple[float, int, int, bytes]] = field(default_factory=list)

    def run(self) -> None:
        """Relay until ended. A port that goes away with its machine is opened again."""
        order = count()
        selector = selectors.DefaultSelector()
        said = False
        while True:
            whole = all(self._ensure(end, selector) for end in (0, 1))
            if whole and not said:
                sys.stdout.write(f"relaying {self.links[0]} {self.links[1]}\n")
                sys.stdout.flush()
                said = True
            wait_s = RETRY_S
            if self.queue:
                wait_s = min(wait_s, max(0.0, self.queue[0][0] - time.monotonic()))
            for key, _ in selector.select(wait_s):
                self._take(key.data, selector, order)
            self._deliver()

    def _ensure(self, end: int, selector: selectors.BaseSelector) -> bool:
        if self.ports[end] is None:
            with suppress(OSError):
                port = open_port(self.links[end])
                selector.register(port, selectors.EVENT_READ, end)
                self.ports[end] = port
        return self.ports[end] is not None

    def _take(self, end: int, selector: selectors.BaseSelector, order: count[int]) -> None:
        port = self.ports[end]
        if port is None:
            return
        for _ in range(64):
            try:
                frame = port.recv(FRAME_MAX)
            except BlockingIOError:
                return
            except OSError:
                selector.unregister(port)
                port.close()
                self.ports[end] = None
                return
            if not is_for(frame, self.macs[1 - end]):
                continue
            late_s = self.weather.lateness_s()
            if late_s is not None:
                item = (time.monotonic() + late_s, next(order), 1 - end, frame)
                heapq.heappush(self.queue, item)

    def _deliver(self) -> None:
        now = time.monotonic()
        while self.queue and self.queue[0][0] <= now:
            _, _, end, frame = heapq.heappop(self.queue)
            port = self.ports[end]
            if port is not None:
                with suppress(OSError):  # a port that is down or full loses the frame
                    port.send(frame)


def main(argv: list[str] | None = None) -> int:
    """Relay until ended."""
    parser = argparse.ArgumentParser(prog="lab.faults.relay")
    for name in ("link_a", "mac_a", "link_b", "mac_b"):
        parser.add_argument(name)
    parser.add_argument("--loss", type=float, default=0.0)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    parser.add_argument("--jitter-ms", type=float, default=0.0)
    parser.add_argument("--seed", default="0")
    given = parser.parse_args(argv)
    dice = random.Random(given.seed)  # noqa: S311 - weather, no secret
    weather = Weather(given.loss, given.delay_ms / 1000, given.jitter_ms / 1000, dice)
    macs = (given.mac_a, given.mac_b)
    first, second = (bytes.fromhex(mac.replace(":", "")) for mac in macs)
    Relay((given.link_a, given.link_b), (first, second), weather).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
