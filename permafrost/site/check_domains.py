"""Rules about failure domains and the labels of hosts."""

from __future__ import annotations

from collections.abc import Iterator

from permafrost.errors import Problem
from permafrost.site.model import FailureDomainLevel, HostLabels, Site
from permafrost.topology import groups


def label_of(labels: HostLabels, level: FailureDomainLevel) -> str | None:
    """Return the failure domain that labels name, None when they do not say."""
    return labels.room if level is FailureDomainLevel.ROOM else labels.rack


def check_domains(site: Site) -> Iterator[Problem]:
    """Yield every problem of levels and labels, and groups larger than the labels allow."""
    level = site.failure_domains.level
    most = site.failure_domains.members_per_domain
    yield from _rooms_of_racks(site)
    if level is FailureDomainLevel.HOST:
        if most > 1:
            yield Problem(
                "MEMBERS_SHARE_A_HOST",
                f"members_per_domain {most} at level host would put {most} members on one host",
                "failure_domains.members_per_domain",
                "set it to 1, or level to rack or room",
            )
        return
    if not site.hosts:
        yield Problem(
            "HOST_LABELS_MISSING",
            f"level is {level.value}, and no host has a label",
            "hosts",
            f"say for each host in which {level.value} it stands",
        )
        return
    for name, labels in sorted(site.hosts.items()):
        if label_of(labels, level) is None:
            yield Problem(
                "HOST_LABEL_MISSING",
                f"level is {level.value}, and this host has no {level.value}",
                f"hosts.{name}.{level.value}",
                "add it, or take the host out of `hosts`: then nothing is placed on it",
            )
    domains = {label_of(labels, level) for labels in site.hosts.values()} - {None}
    for group in groups(site):
        room = len(domains) * most
        if domains and group.count > room:
            yield Problem(
                "FAILURE_DOMAINS_TOO_FEW",
                f"{group.count} members, {most} in each {level.value}, "
                f"but the hosts' labels name {len(domains)} {level.value}s",
                group.count_path,
                f"lower it to at most {room}, label more {level.value}s, "
                "or raise failure_domains.members_per_domain",
            )


def _rooms_of_racks(site: Site) -> Iterator[Problem]:
    rooms: dict[str, tuple[str, str]] = {}
    for name, labels in sorted(site.hosts.items()):
        if labels.rack is None or labels.room is None:
            continue
        first, room = rooms.setdefault(labels.rack, (name, labels.room))
        if room != labels.room:
            yield Problem(
                "RACK_IN_TWO_ROOMS",
                f"rack {labels.rack} is in room {room} for {first}, here in {labels.room}",
                f"hosts.{name}.room",
                "racks of different rooms need different names",
            )
