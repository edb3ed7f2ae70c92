"""Which host holds what, and what is left without it."""

from __future__ import annotations

from permafrost.planning.status_hosts import Standing, hosts_of


def test_what_does_not_serve_is_nothing_that_is_left() -> None:
    hosts = hosts_of(
        [
            Standing("lab-chat-01", "chat", "b", serves=True),
            Standing("lab-chat-02", "chat", "a", serves=False),
            Standing("lab-chat-03", "chat", "c", serves=True),
            Standing("lab-edge-01", "edge", "d", serves=True),
            Standing("lab-edge-02", "edge", "a", serves=True),
            Standing("lab-knowledge-01", "knowledge", "a", serves=True),
        ]
    )
    assert {h.name: dict(h.keeps) for h in hosts} == {
        "a": {"chat": 2, "edge": 1, "knowledge": 0},
        "b": {"chat": 1},
        "c": {"chat": 1},
        "d": {"edge": 1},
    }
    assert [vm.name for vm in hosts[0].vms] == ["lab-chat-02", "lab-edge-02", "lab-knowledge-01"]


def test_nothing_stands_anywhere() -> None:
    assert hosts_of([]) == ()
