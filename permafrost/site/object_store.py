"""An object store that is there already, in which the knowledge tier keeps what it knows."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictInt, StringConstraints

from permafrost.site.values import FilePath, HostName, Strict, Text

HTTPS_PORT = 443
HERE = "knowledge.milvus.object_store"
"""Where the site file names it."""


class ObjectStore(Strict):
    """An S3 endpoint, reached by TLS alone; the bucket is there, nothing here makes one.

    The members reach it themselves: its name must be known to them, or be an address.
    """

    address: HostName
    port: StrictInt = Field(default=HTTPS_PORT, ge=1, le=65535)
    bucket: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    region: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,32}$")] = "us-east-1"
    access_key: Text
    secret_key_file: FilePath
    ca_file: FilePath | None = Field(
        default=None, description="the only authority that is trusted; default: the public ones"
    )

    @property
    def authority(self) -> str:
        """Address and port, as a URL has them."""
        return self.address if self.port == HTTPS_PORT else f"{self.address}:{self.port}"

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return f"https://{self.authority}/{self.bucket}"
