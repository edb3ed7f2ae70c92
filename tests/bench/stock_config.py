"""What somebody writes into haproxy.cfg at first; and what such an HAProxy says of itself.

Debian's own ``global`` and ``defaults``, one frontend with TLS, one backend with ``roundrobin``
and ``option httpchk``. Certificate and TLS to the replicas are the site's own, so that both ways
do the same work. The second frontend is what the site's VRRP asks, with which the address stays
where HAProxy answers.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping

from permafrost.topology import NODE_PORT

ALIVE_PORT = 8404
TLS = "/etc/haproxy/tls"
CHECK = "http-check send meth GET uri /v2/health/ready ver HTTP/1.1 hdr Host triton"
CONFIG = """global
    log /dev/log local0
    chroot /var/lib/haproxy
    stats socket /run/haproxy/admin.sock mode 660 level admin
    stats timeout 30s
    user haproxy
    group haproxy
    maxconn 4096

defaults
    log global
    mode http
    option httplog
    option dontlognull
    timeout connect 5000
    timeout client 50000
    timeout server 50000

frontend clients
    bind *:{port} ssl crt {tls}/server.pem alpn h2,http/1.1
    default_backend triton

frontend alive
    bind 127.0.0.1:{alive}
    monitor-uri /alive

backend triton
    balance roundrobin
    option httpchk
    {check}
{servers}
"""
DROP_IN = """[Service]
ExecStartPost=
ExecStop=
ExecStopPost=
"""
"""A unit as its package has it: nothing moves the clients' address away before a stop."""


def stock_config(
    port: int, servers: Mapping[str, str], out: Collection[str] = (), tls: str = TLS
) -> str:
    """Return a first draft of haproxy.cfg for one endpoint.

    ``port``: where clients ask. ``servers``: address by the replica's name. ``out``: the replicas
    whose lines are commented out. ``tls``: the folder of certificate and authority.
    """
    unknown = sorted(set(out) - set(servers))
    if unknown:
        raise ValueError(f"no such server: {', '.join(unknown)}")
    lines = [
        f"    {'# ' if name in out else ''}server {name} {address}:{NODE_PORT} ssl "
        f"verify required ca-file {tls}/ca.pem verifyhost {name} sni str({name}) check"
        for name, address in servers.items()
    ]
    return CONFIG.format(
        port=port, tls=tls, alive=ALIVE_PORT, check=CHECK, servers="\n".join(lines)
    )


def servers_up(stat: str) -> frozenset[str]:
    """Return the servers of the backend that are up, out of what ``show stat`` answers."""
    rows = csv.DictReader(io.StringIO(stat.strip().removeprefix("# ")))
    return frozenset(
        str(row["svname"])
        for row in rows
        if row["pxname"] == "triton"
        and row["svname"] not in ("FRONTEND", "BACKEND")
        and str(row["status"]).startswith("UP")
    )
