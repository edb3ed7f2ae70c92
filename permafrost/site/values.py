"""What one value of the site file may be: names, pins, addresses, paths."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints


class Strict(BaseModel):
    """A section of the site file: unknown keys are refused, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _as_text(value: object) -> object:
    """Refuse numbers: to `ipaddress` 3 is 0.0.0.3, and ``yes`` is 0.0.0.1."""
    if isinstance(value, str | IPv4Address | IPv4Network):
        return value
    raise ValueError("Input should be text, for example 10.20.0.1")


Text = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=256)]
DevicePath = Annotated[str, StringConstraints(pattern=r"^/dev/[a-z0-9/:._-]+$")]
Address = Annotated[IPv4Address, BeforeValidator(_as_text)]
Subnet = Annotated[IPv4Network, BeforeValidator(_as_text)]
Label = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,19}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
PinnedModel = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._/-]*@sha256:[0-9a-f]{64}$")
]
PinnedImage = PinnedModel
ModelReference = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9][a-z0-9._/-]*@(sha256:[0-9a-f]{64}|staging|production)$"),
]
VendorDevice = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{4}:[0-9a-f]{4}$")]
VgpuProfile = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
AddressSpan = Annotated[str, StringConstraints(pattern=r"^[0-9.]+-[0-9.]+$")]
"""``first-last``, both included."""

Server = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*)(:[0-9]{1,5})?$")]
"""A host name or IPv4 address, with or without a port."""

InventoryName = Annotated[
    str, StringConstraints(pattern=r"^[^\x00-\x20\x7f]([^\x00-\x1f\x7f]{0,78}[^\x00-\x20\x7f])?$")
]
"""The name of a thing in vCenter (at most 80 characters), or its path below the datacenter."""

HostName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$")
]
"""An ESXi host as vCenter shows it: its full name or its IPv4 address."""

FilePath = Annotated[str, StringConstraints(pattern=r"^[^\x00]+$", max_length=1024)]
"""Relative to the folder of the site file; ``~/`` is the user's home."""
