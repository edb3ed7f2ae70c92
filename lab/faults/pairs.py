"""Faults between two ends of the network: silent, refused, or lossy and late.

``network-blackhole`` severs two machines at the bridge: every frame between them is dropped, ARP
included. ``network-cut`` is what a firewall does that says so: each side is told by a reset or
"administratively prohibited"; its rules stand in the first machine's network namespace, and end
with it at a power cycle. ``network-relay`` severs two machines and carries their frames itself.
"""

from __future__ import annotations

import sys

from lab.errors import LabError
from lab.faults import targets
from lab.faults.model import Options, Undo, number, one_of
from lab.hypervisor import guest
from lab.hypervisor.machine import Machine
from lab.instance import naming, network
from lab.instance.commands import run
from lab.instance.model import CHECKOUT, Instance
from lab.services.daemon import Daemon

WAYS = ("both", "there", "back")


def prepare_blackhole(instance: Instance, target: str, options: Options) -> dict[str, str]:
    """Check both ends and the way; towards a server both ways are dropped together."""
    way = one_of(options, "way", *WAYS)
    first, second = targets.pair(instance, target)
    if way != "both" and not _is_machine(instance, second):
        raise LabError("FAULT_OPTION_INVALID", f"way={way} is for two machines", "leave it out")
    return {"first": first, "second": second, "way": way}


def _is_machine(instance: Instance, end: str) -> bool:
    return end != targets.GATEWAY and end not in targets.services(instance)


def blackhole(instance: Instance, target: str, undo: Undo) -> None:
    """Drop every frame between the two."""
    del target
    first, second = undo["first"], undo["second"]
    if not _is_machine(instance, second):
        network.sever_host(instance.id, first, targets.services(instance).get(second))
        return
    for sender, receiver in _ways(undo):
        network.sever(instance.id, sender, receiver)


def unblackhole(instance: Instance, target: str, undo: Undo) -> None:
    """Carry frames again."""
    del target
    first, second = undo["first"], undo["second"]
    if not _is_machine(instance, second):
        network.mend_host(instance.id, first, targets.services(instance).get(second))
        return
    for sender, receiver in _ways(undo):
        network.mend(instance.id, sender, receiver)


def _ways(undo: Undo) -> list[tuple[str, str]]:
    there = (undo["first"], undo["second"])
    back = (undo["second"], undo["first"])
    return {"both": [there, back], "there": [there], "back": [back]}[undo["way"]]


def prepare_cut(instance: Instance, target: str, options: Options) -> dict[str, str]:
    """Find the address of the far end."""
    del options
    first, second = targets.pair(instance, target)
    targets.running_machine(instance, first)
    port = targets.services(instance).get(second)
    return {
        "first": first,
        "address": targets.address(instance, second),
        "port": str(port or ""),
        "table": f"pfcut{naming.short_hash(target)}",
    }


def cut(instance: Instance, target: str, undo: Undo) -> None:
    """Refuse what goes between the two, and tell both."""
    del target
    rules = _cut_rules(undo["table"], undo["address"], undo["port"])
    _nft(targets.running_machine(instance, undo["first"]), rules)


def uncut(instance: Instance, target: str, undo: Undo) -> None:
    """Remove the rules where the machine still has them."""
    del target
    node = Machine(instance, undo["first"])
    if guest.init_pid(node) is not None:
        table = undo["table"]
        _nft(node, f"table inet {table} {{ }}\ndelete table inet {table}\n")


def _cut_rules(table: str, address: str, port: str) -> str:
    there = f"ip daddr {address}" + (f" tcp dport {port}" if port else "")
    back = f"ip saddr {address}" + (f" tcp sport {port}" if port else "")
    chains = ""
    for hook, match in (("output", there), ("input", back)):
        chains += f"""
    chain {hook} {{
        type filter hook {hook} priority -300; policy accept;
        tcp flags & rst == rst accept
        icmp type destination-unreachable accept
        {match} meta l4proto tcp reject with tcp reset
        {match} reject with icmpx type admin-prohibited
    }}"""
    return (
        f"table inet {table} {{ }}\ndelete table inet {table}\ntable inet {table} {{{chains}\n}}"
    )


def _nft(node: Machine, rules: str) -> None:
    init = guest.init_pid(node)
    if init is None:
        raise LabError("MACHINE_IS_OFF", f"{node.name} is off", "choose one that is on")
    run(["nsenter", "--target", str(init), "--net", "--", "nft", "-f", "-"], stdin=rules)


def prepare_relay(instance: Instance, target: str, options: Options) -> dict[str, str]:
    """Check both machines and the numbers. A relay stands between machines only."""
    loss = number(options, "loss", 0, 1)
    delay_ms = number(options, "delay_ms", 0, 60_000)
    jitter_ms = number(options, "jitter_ms", 0, 60_000)
    first, second = targets.pair(instance, target)
    if not _is_machine(instance, second):
        raise LabError(
            "TARGET_INVALID",
            "the userspace relay stands between two machines only",
            "towards a server there is network-blackhole, and mode=hung of the server's fault",
        )
    macs = []
    for name in (first, second):
        spec = targets.running_machine(instance, name).spec()
        if spec is None:
            raise LabError(
                "MACHINE_UNKNOWN",
                f"nothing says which card {name} has",
                "power it on by vCenter once: that writes it down",
            )
        macs.append(spec.mac)
    return {
        **{"first": first, "second": second, "way": "both"},
        **{"mac_first": macs[0], "mac_second": macs[1], "seed": options["seed"]},
        **{"loss": str(loss), "delay_ms": str(delay_ms), "jitter_ms": str(jitter_ms)},
    }


def relay(instance: Instance, target: str, undo: Undo) -> None:
    """Sever the two, and carry their frames through the relay."""
    blackhole(instance, target, undo)
    _relay(instance, undo).ensure()


def unrelay(instance: Instance, target: str, undo: Undo) -> None:
    """Let the bridge carry the frames again."""
    daemon = _relay(instance, undo)
    daemon.stop()
    daemon.group.remove()
    daemon.log.unlink(missing_ok=True)  # what it said is not the next one's word
    unblackhole(instance, target, undo)


def _relay(instance: Instance, undo: Undo) -> Daemon:
    first, second = undo["first"], undo["second"]
    links = [naming.link_name(instance.id, name) for name in (first, second)]
    argv = [
        *(sys.executable, "-m", "lab.faults.relay"),
        *(links[0], undo["mac_first"], links[1], undo["mac_second"]),
        *("--loss", undo["loss"], "--delay-ms", undo["delay_ms"]),
        *("--jitter-ms", undo["jitter_ms"], "--seed", undo["seed"]),
    ]
    name = f"relay-{naming.short_hash(f'{first}:{second}')}"
    log = instance.run_dir / f"{name}.log"

    def ready() -> bool:
        return log.exists() and "relaying" in log.read_text(errors="replace")

    return Daemon(instance, name, argv=argv, ready=ready, env={"PYTHONPATH": str(CHECKOUT)})
