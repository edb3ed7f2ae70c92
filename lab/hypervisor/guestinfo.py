"""A VM's ``guestinfo.*`` as the environment that cloud-init's DataSourceVMware reads.

In a container there is no VMware backdoor, so cloud-init uses its environment transport: the same
data, the same encodings, in ``VMX_GUESTINFO_*`` variables of its unit.
"""

from __future__ import annotations

import base64
import binascii
import gzip
from collections.abc import Mapping

from lab.errors import LabError

KEYS = ("metadata", "userdata", "vendordata")
_BASE64 = ("base64", "b64")
_GZIP_BASE64 = ("gzip+base64", "gz+b64")
# One environment string can hold 128 KiB (MAX_ARG_STRLEN).
MAX_VALUE = 128 * 1024 - 64


def environment(extra_config: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for a VM's extra configuration; every value base64 encoded."""
    variables = {"VMX_GUESTINFO": "1"}
    for key in KEYS:
        value = extra_config.get(f"guestinfo.{key}", "")
        if not value:
            continue
        encoding = extra_config.get(f"guestinfo.{key}.encoding", "").lower()
        name = f"VMX_GUESTINFO_{key.upper()}"
        variables[name], variables[f"{name}_ENCODING"] = _encoded(key, value, encoding)
        if len(variables[name]) > MAX_VALUE:
            raise LabError(
                "GUESTINFO_TOO_LONG",
                f"guestinfo.{key} has {len(variables[name])} characters, {MAX_VALUE} fit",
                "give it gzip+base64 encoded",
            )
    return variables


def _encoded(key: str, value: str, encoding: str) -> tuple[str, str]:
    if encoding == "":
        return base64.b64encode(value.encode()).decode(), "base64"
    compact = "".join(value.split())
    try:
        raw = base64.b64decode(compact, validate=True)
        if encoding in _BASE64:
            return compact, "base64"
        if encoding in _GZIP_BASE64:
            gzip.decompress(raw)
            return compact, "gzip+base64"
    except (binascii.Error, OSError, EOFError) as error:
        raise LabError(
            "GUESTINFO_UNREADABLE",
            f"guestinfo.{key} is not {encoding}: {error}",
            "correct the VM's extraConfig",
        ) from error
    raise LabError(
        "GUESTINFO_ENCODING_UNKNOWN",
        f"guestinfo.{key}.encoding is {encoding!r}",
        "use base64 or gzip+base64",
    )


def environment_file(extra_config: Mapping[str, str]) -> str:
    """Return the variables as a systemd EnvironmentFile."""
    return "".join(f"{k}={v}\n" for k, v in environment(extra_config).items())
