"""What each function takes, and what is wrong with what it was given."""

from __future__ import annotations

from lab.provider.schema import terraform_name
from lab.provider.values import Props

MISSING = 'The argument "{0}" is required, but no definition was found.'
ARGUMENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "getDatacenter": ((), ("name",)),
    "getComputeCluster": (("name",), ("datacenterId",)),
    "getDatastore": (("name",), ("datacenterId", "stats")),
    "getNetwork": (
        ("name",),
        ("datacenterId", "distributedVirtualSwitchUuid", "filters", "retryInterval",
         "retryTimeout", "vpcId"),
    ),
    "getVirtualMachine": (
        (),
        ("name", "uuid", "moid", "datacenterId", "folder", "scsiControllerScanCount",
         "nvmeControllerScanCount", "sataControllerScanCount", "ideControllerScanCount"),
    ),
    "getHost": (("datacenterId",), ("name",)),
    "getHostPciDevice": (("hostId",), ("classId", "vendorId", "nameRegex")),
    "getResourcePool": ((), ("name", "datacenterId", "parentResourcePoolId")),
    "getFolder": (("path",), ()),
    "getTagCategory": (("name",), ()),
    "getTag": (("name", "categoryId"), ()),
}  # fmt: skip
"""Each function's required and optional arguments."""


def check_arguments(name: str, args: Props) -> list[str]:
    """Return what is wrong with a function's arguments."""
    required, optional = ARGUMENTS[name]
    failures = []
    for key in required:
        if args.get(key) is None:
            shown = terraform_name(key)
            failures.append(f"[{shown}] Missing required argument: {MISSING.format(shown)}")
    failures += [
        f"[{key}] Invalid or unknown key"
        for key in sorted(args)
        if key not in (*required, *optional)
    ]
    if name == "getVirtualMachine" and not any(args.get(k) for k in ("moid", "name", "uuid")):
        failures += [
            f'[{k}] Missing required argument: "{k}": one of `moid,name,uuid` must be specified'
            for k in ("moid", "name", "uuid")
        ]
    return failures
