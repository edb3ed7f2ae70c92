"""The lab's language host lives no longer than the engine that started it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from lab.build import parts

ENGINE = """
import sys
from concurrent import futures
import grpc
server = grpc.server(futures.ThreadPoolExecutor(2))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
server.wait_for_termination()
"""


@pytest.fixture
def engine() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that can be asked for its health, as an engine can; and its address."""
    argv = [sys.executable, "-c", ENGINE]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, f"127.0.0.1:{process.stdout.readline().strip()}"
        process.kill()


def test_the_language_host_ends_with_a_killed_engine(
    engine: tuple[subprocess.Popen[str], str],
) -> None:
    process, address = engine
    host = parts.path("pulumi") / "bin" / "pulumi-language-python"
    with subprocess.Popen([host, address], stdout=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None
            assert int(started.stdout.readline()) > 0
            with pytest.raises(subprocess.TimeoutExpired):
                started.wait(2)  # control: it stays as long as the engine does
            process.kill()
            assert started.wait(5) == 0
        finally:
            started.kill()
