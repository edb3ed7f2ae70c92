"""Endpoints of the site file: a model, its replicas, their VMs and accelerators."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, StrictInt

from permafrost.site.values import (
    AddressSpan,
    Label,
    ModelReference,
    PinnedImage,
    Strict,
    VendorDevice,
    VgpuProfile,
)


class GpuMode(StrEnum):
    """How an endpoint's VMs get their accelerator."""

    PASSTHROUGH = "passthrough"
    VGPU = "vgpu"
    NONE = "none"


class Backend(StrEnum):
    """The Triton backend that serves an endpoint."""

    LLAMACPP = "llamacpp"
    PULSE = "pulse"
    VLLM = "vllm"
    TENSORRTLLM = "tensorrtllm"
    ONNXRUNTIME = "onnxruntime"
    PYTHON = "python"


class VmShape(Strict):
    """Size of a VM. Memory is reserved in full where a GPU is passed through."""

    cpus: StrictInt = Field(default=4, ge=1, le=256)
    memory_mib: StrictInt = Field(default=8192, ge=512, le=6 * 1024 * 1024, multiple_of=4)
    disk_gib: StrictInt = Field(default=40, ge=10, le=62 * 1024)


class Gpu(Strict):
    """Accelerator demand of one VM: ``count`` devices of one kind, all on one host."""

    mode: GpuMode = GpuMode.NONE
    vendor_device: VendorDevice | None = Field(
        default=None, description="passthrough: the PCI ids of the device"
    )
    profile: VgpuProfile | None = Field(
        default=None, description="vgpu: the profile's name, as vCenter lists it"
    )
    count: StrictInt = Field(default=1, ge=1, le=16)
    mmio_gib: StrictInt = Field(
        default=256, ge=1, le=4096, description="pciPassthru.64bitMMIOSizeGB"
    )


class Endpoint(Strict):
    """One public model name, served by replicas of one frozen checkpoint."""

    model: ModelReference = Field(
        description="name@sha256:…, or name@stage, for which models.lock says the digest"
    )
    backend: Backend
    image: PinnedImage
    replicas: StrictInt = Field(ge=1, le=9999)
    min_ready: StrictInt = Field(ge=1)
    port: StrictInt = Field(ge=1, le=65535, description="port of this endpoint on every edge")
    gpu: Gpu = Gpu()
    vm: VmShape = VmShape()
    network: Label | None = Field(default=None, description="one of `networks`")
    addresses: AddressSpan | None = Field(
        default=None,
        description="a range of its own, so that a change of replicas moves no other address",
    )
    max_context_tokens: StrictInt = Field(default=2048, ge=16)
    max_concurrent: StrictInt = Field(default=1, ge=1, le=100000)
    drain_deadline_s: StrictInt = Field(default=120, ge=1, le=3600)
    drain_idle_stream_s: StrictInt = Field(
        default=10,
        ge=1,
        le=3600,
        description="a stream that only waits this long is ended by a drain",
    )
    start_deadline_s: StrictInt = Field(
        default=180, ge=10, le=7200, description="from power-on to the first answer; load included"
    )
