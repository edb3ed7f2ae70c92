"""The kinds of fault by name."""

from __future__ import annotations

from lab.faults import centre, disks, hosts, nodes, pairs, services, vip
from lab.faults.model import Kind

_AWAY = {"mode": "killed"}
_SERVER = "TARGET: {0}; mode=killed refuses connections, mode=hung accepts and never answers"

KINDS: dict[str, Kind] = {
    "host-lost": Kind(
        "an ESXi host and all its machines vanish without a word",
        hosts.prepare,
        hosts.lose,
        hosts.regain,
    ),
    "host-disconnected": Kind(
        "vCenter and an ESXi host lose touch; its machines go on running and HA does nothing",
        hosts.prepare_disconnect,
        hosts.disconnect,
        hosts.reconnect,
    ),
    "machine-kill": Kind(
        "a machine's power cord is pulled",
        nodes.prepare_running,
        nodes.kill,
        nodes.leave,
        lasts=False,
    ),
    "machine-freeze": Kind(
        "a machine hangs", nodes.prepare_running, nodes.freeze, nodes.thaw, lasts=False
    ),
    "machine-cut": Kind(
        "a machine's network drops everything both ways", nodes.prepare, nodes.cut, nodes.restore
    ),
    "service-stop": Kind(
        "a unit of a machine is stopped as an administrator would (TARGET: machine:unit)",
        services.prepare,
        services.stop,
        services.start,
        lasts=False,
    ),
    "service-kill": Kind(
        "every process of a unit is killed at once (TARGET: machine:unit)",
        services.prepare_kill,
        services.kill,
        services.start,
        {"stay_down": "no"},
        lasts=False,
    ),
    "service-hang": Kind(
        "a unit accepts connections and never answers (TARGET: machine:unit)",
        services.prepare_hang,
        services.hang,
        services.wake,
    ),
    "service-slow": Kind(
        "a unit stands still for a share of every period (TARGET: machine:unit)",
        services.prepare_slow,
        services.slow,
        services.quicken,
        {"share": "0.9", "period_ms": "200"},
    ),
    "network-blackhole": Kind(
        "frames between two ends vanish, ARP too (TARGET: machine:machine|gateway|vcenter|…)",
        pairs.prepare_blackhole,
        pairs.blackhole,
        pairs.unblackhole,
        {"way": "both"},
    ),
    "network-cut": Kind(
        "what goes between two ends is refused, and both are told (TARGET as above)",
        pairs.prepare_cut,
        pairs.cut,
        pairs.uncut,
    ),
    "network-relay": Kind(
        "a userspace relay between two machines loses and delays frames (TARGET: machine:machine)",
        pairs.prepare_relay,
        pairs.relay,
        pairs.unrelay,
        {"loss": "0", "delay_ms": "0", "jitter_ms": "0", "seed": "0"},
    ),
    "disk-full": Kind(
        "a folder of a machine has no room left",
        disks.prepare_full,
        disks.fill,
        disks.clear,
        {"path": "/var/lib/permafrost"},
    ),
    "file-corrupt": Kind(
        "one bit of a file flips, size and times as before (TARGET: machine:/path)",
        disks.prepare_corrupt,
        disks.corrupt,
        disks.repair,
        {"offset": "middle"},
    ),
    "balancer-kill": Kind(
        "a machine's HAProxy is killed at once",
        services.prepare_balancer,
        services.kill_balancer,
        services.start_balancer,
        {"stay_down": "no"},
        lasts=False,
    ),
    "vip-move": Kind(
        "the edges' virtual address leaves the machine that holds it",
        vip.prepare,
        vip.move,
        vip.back,
    ),
    "vcenter-slow": Kind(
        "each call of vCenter takes longer (TARGET: vcenter)",
        centre.prepare_slow,
        centre.slow,
        centre.quicken,
        {"seconds": "2"},
    ),
    **{
        f"{name}-away": Kind(_SERVER.format(name), centre.prepare, centre.away, centre.back, _AWAY)
        for name in ("vcenter", "registry", "packages")
    },
}
