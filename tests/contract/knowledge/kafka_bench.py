"""A real Kafka of three on the loopback: the lab's image, with the settings that members get."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from lab.instance.waiting import wait_until
from permafrost.pki.store import SitePki
from tests.contract.knowledge.processes import end
from tests.golden.ansible.rendering import render

NAMES = ("hamar-knowledge-01", "hamar-knowledge-02", "hamar-knowledge-03")
REFUSED = "failed authentication due to"
"""What a broker writes down whose certificate the others do not take."""
STARTED_S = 240.0
_FORMAT = ("format", "--ignore-formatted", "--cluster-id", "MkU3OEVBNTcwNTJENDM2Qk")
_JAVA = ("java", "-Xms64m", "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_LOGGING = "log4j.rootLogger=WARN, o\nlog4j.appender.o=org.apache.log4j.ConsoleAppender\n"
_LAYOUT = "log4j.appender.o.layout=org.apache.log4j.SimpleLayout\n"


def addresses() -> dict[str, str]:
    """Return an address of the loopback for each: all have the ports that brokers have."""
    net = f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(250) + 1}"
    return {name: f"{net}.{i + 1}" for i, name in enumerate(NAMES)}


@dataclass
class Kafka:
    """Three brokers and controllers; ``authorities``: broker -> whose certificate it shows."""

    libraries: Path
    folder: Path
    authorities: dict[str, SitePki] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=addresses)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def pki(self) -> SitePki:
        return SitePki(self.folder / "site", "hamar")

    def pair(self, name: str, pki: SitePki | None = None, *, is_client: bool = True) -> Path:
        """Write a member's certificate with its key into one file, as a member has it."""
        issued = (pki or self.pki).server_certificate(
            name,
            addresses=[IPv4Address(self.addresses.get(name, "127.0.0.1"))],
            is_client=is_client,
        )
        file = self.folder / f"{name}-{'own' if pki is None else 'other'}-{is_client}.pem"
        file.write_text(issued.key_pem + issued.certificate_pem)
        return file

    def start(self, names: Iterable[str] = NAMES) -> None:
        """Start brokers as members do: format an empty disk, then run; all at the same time."""
        chosen = list(names)
        for name in chosen:
            (self.folder / f"{name}.log").unlink(missing_ok=True)
            self._write_settings(name)
        settled = [self._run(n, "kafka.tools.StorageTool", *_FORMAT, "--config") for n in chosen]
        for formatting in settled:
            assert formatting.wait(STARTED_S) == 0
        for name in chosen:
            self.running[name] = self._run(name, "kafka.Kafka")

    def stop(self, names: Iterable[str] = NAMES) -> None:
        end(self.running, names)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def await_(self, is_so: Callable[[], bool], within_s: float = STARTED_S) -> None:
        """Wait until something is so, or fail with what the brokers wrote last."""
        if not wait_until(is_so, within_s, 0.3):
            raise AssertionError("\n".join(self.log(name)[-1500:] for name in NAMES))

    def _write_settings(self, name: str) -> None:
        home = self.folder / name
        (home / "tls").mkdir(parents=True, exist_ok=True)
        (home / "tls" / "ca.pem").write_text(self.pki.ca_pem())
        own = self.pair(name, self.authorities.get(name))
        (home / "tls" / "server.pem").write_text(own.read_text())
        (home / "log4j.properties").write_text(_LOGGING + _LAYOUT)
        text = render(
            "kafka/server.properties.j2",
            name,
            kafka_address=self.addresses[name],
            kafka_members=[
                {"name": n, "address": a, "port": 9093} for n, a in self.addresses.items()
            ],
        )
        text = text.replace("/mnt/shared/config", str(home))
        text = text.replace("/var/lib/kafka/data", str(home / "data"))
        (home / "server.properties").write_text(text)

    def _run(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        home = self.folder / name
        argv = [*_JAVA, f"-Dlog4j.configuration=file:{home}/log4j.properties",
                "-cp", f"{self.libraries}/*", *command, "server.properties"]  # fmt: skip
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(argv, stdout=log, stderr=log, cwd=home)
