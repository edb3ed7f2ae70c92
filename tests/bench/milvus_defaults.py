"""What of a deployed Milvus differs from what its image ships, and it without our tuning. Pure.

Everything that differs is tuning, but for what is named here with its reason: a setting that is
tuned later is set back without anybody thinking of it.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import yaml

MARK = "# for a bench: Milvus' own defaults; `python -m tests.bench.knowledge_gaps --restore`"
"""First line of every file that the bench writes."""
ABSENT = "(not set)"
ETCD = "etcd/endpoints"
STAYS: Mapping[str, str] = {
    "etcd/rootPath": "where this cluster's metadata is",
    "etcd/ssl": "who speaks to etcd at all",
    "etcd/use": "three members instead of one in the process",
    "etcd/log": "what is written down",
    "minio": "where this cluster's data is",
    "mq/type": "which queue there is",
    "kafka/brokerList": "where the queue is",
    "kafka/saslUsername": "who speaks to the queue at all",
    "kafka/saslPassword": "who speaks to the queue at all",
    "kafka/saslMechanisms": "who speaks to the queue at all",
    "kafka/securityProtocol": "who speaks to the queue at all",
    "kafka/consumer/security": "who speaks to the queue at all",
    "kafka/consumer/ssl": "who speaks to the queue at all",
    "kafka/producer/security": "who speaks to the queue at all",
    "kafka/producer/ssl": "who speaks to the queue at all",
    "queryNode/enableDisk": "drives that these machines lack",
    "indexNode/enableDisk": "drives that these machines lack",
    "common/storageType": "where this cluster's data is",
    "common/chanNamePrefix": "names of topics that exist",
    "rootCoord/dmlChannelNum": "how many topics exist",
    "common/security": "who may ask",
    "tls": "who may ask",
    "log": "what is written down",
    "rootCoord/enableActiveStandby": "a standby: without it there is nothing to compare",
    "dataCoord/enableActiveStandby": "a standby: without it there is nothing to compare",
    "queryCoord/enableActiveStandby": "a standby: without it there is nothing to compare",
}
"""What no default could be put in for, and why. A section stands for all that is in it, and
the first word of a setting of librdkafka for all that begin with it."""
KERNEL: Mapping[str, str] = {
    "net.ipv4.tcp_retries2": "15",
    "net.ipv4.tcp_syn_retries": "6",
    "net.ipv4.tcp_keepalive_time": "7200",
    "net.ipv4.tcp_keepalive_intvl": "75",
    "net.ipv4.tcp_keepalive_probes": "9",
}
"""The kernel's own, as its documentation of ip-sysctl has them."""
COMMANDS: Mapping[str, str] = {
    "ExecStartPre=/usr/local/sbin/permafrost-knowledge-": "before it starts",
    "ExecStopPost=-/usr/local/sbin/permafrost-knowledge-": "after it has ended",
}
"""What is run around processes of Milvus, ours alone: what they wait for never comes while it is
off, and what they leave in etcd stays for as long as Milvus has it."""
WAITS = tuple(COMMANDS)


def differences(
    shipped: Mapping[str, Any], deployed: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """Return section/setting -> (shipped, deployed) of everything in which the two differ."""
    before, after = dict(_leaves(shipped)), dict(_leaves(deployed))
    return {
        path: (before.get(path, ABSENT), after.get(path, ABSENT))
        for path in sorted({*before, *after})
        if before.get(path, ABSENT) != after.get(path, ABSENT)
    }


def tuned(shipped: Mapping[str, Any], deployed: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return those of the differences that a default can be put in for."""
    return {
        path: values
        for path, values in differences(shipped, deployed).items()
        if path != ETCD and not stays(path)
    }


def stays(path: str) -> bool:
    """Return whether no default can be put in for a setting."""
    return any(path == s or path.startswith((f"{s}/", f"{s}.")) for s in STAYS)


def by_default(
    shipped: Mapping[str, Any], deployed: Mapping[str, Any], etcd: str
) -> dict[str, Any]:
    """Return the deployed settings with the shipped values wherever ours were tuned.

    ``etcd``: its members with commas between, as Milvus' documentation names them: our balancer
    before them is ours.
    """
    found = copy.deepcopy(dict(deployed))
    for path, (value, _) in tuned(shipped, deployed).items():
        _set(found, path.split("/"), value)
    _set(found, ETCD.split("/"), etcd)
    return found


def settings_file(settings: Mapping[str, Any]) -> str:
    """Return the text of milvus.yaml, marked."""
    return f"{MARK}\n{yaml.safe_dump(dict(settings), sort_keys=True, width=200)}"


def unit_by_default(unit: str, environment: Collection[str]) -> str:
    """Return a unit without our settings of its environment, and without our order of starts."""
    ours = (*WAITS, *(f"Environment={name}=" for name in environment))
    lines = [line for line in unit.splitlines() if not line.startswith(ours)]
    return "\n".join([MARK, *lines]) + "\n"


def tuned_beside(
    unit: str, environment: Collection[str], sysctls: str
) -> dict[str, tuple[Any, Any]]:
    """Return what is tuned in a unit and in the kernel, as ``tuned`` does of the settings."""
    found: dict[str, tuple[Any, Any]] = {}
    for line in unit.splitlines():
        name, _, value = line.removeprefix("Environment=").partition("=")
        if line.startswith("Environment=") and name in environment:
            found[f"environment {name}"] = (ABSENT, value)
        elif line.startswith(WAITS):
            when = next(said for begins, said in COMMANDS.items() if line.startswith(begins))
            found[f"unit {line.rpartition('/')[2]}"] = (ABSENT, when)
    for name, value in _sysctls(sysctls):
        found[f"kernel {name}"] = (KERNEL[name], value)
    return found


def kernel_by_default(sysctls: str) -> str:
    """Return a file of sysctl settings with the kernel's own values.

    Raises KeyError for a setting whose default is not known here.
    """
    lines = [f"-{name} = {KERNEL[name]}" for name, _ in _sysctls(sysctls)]
    return "\n".join([MARK, *lines]) + "\n"


def reader(unit: str) -> tuple[str, ...]:
    """Return the command that prints the settings which the image of a unit ships.

    As the role does it. Raises ValueError for a unit without an image.
    """
    lines = unit.splitlines()
    image = next((line.removeprefix("Image=") for line in lines if line.startswith("Image=")), "")
    if not image:
        raise ValueError("the unit names no image")
    cgroups = ["--cgroups=disabled"] if "PodmanArgs=--cgroups=disabled" in lines else []
    return (
        *("systemd-run", "--quiet", "--pipe", "--wait", "--collect"),
        *("podman", "run", "--rm", "--network=none", *cgroups),
        *("--entrypoint=/bin/cat", image, "/milvus/configs/milvus.yaml"),
    )


def _leaves(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{above}{key}/")
        else:
            yield f"{above}{key}", value


def _sysctls(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, value = line.partition("=")
            yield name.strip().removeprefix("-"), value.strip()


def _set(settings: dict[str, Any], path: list[str], value: Any) -> None:
    """Set what a path names; ABSENT removes it, and sections that are empty then."""
    key, *rest = path
    if rest:
        section = settings.setdefault(key, {})
        _set(section, rest, value)
        if not section:
            del settings[key]
    elif value == ABSENT:
        settings.pop(key, None)
    else:
        settings[key] = value
