"""HaVmOverride: how vSphere HA treats one machine."""

from __future__ import annotations

from typing import Any, ClassVar

from typing_extensions import override

from lab.provider.errors import NotFoundError, PartialFailureError, ProviderError
from lab.provider.resources import cluster
from lab.provider.resources.base import Resource
from lab.provider.schema import Schema, flag, text, whole
from lab.provider.session import Operation
from lab.provider.values import Props
from lab.provider.vsphere import vim

PRIORITIES = (
    "clusterRestartPriority", "lowest", "low", "medium", "high", "highest", "disabled",
)  # fmt: skip
NONE = -1


class HaOverride(Resource):
    """vsphere:index/haVmOverride:HaVmOverride."""

    token: ClassVar[str] = "vsphere:index/haVmOverride:HaVmOverride"  # noqa: S105
    replace_deletes_first: ClassVar[bool] = False
    schema: ClassVar[Schema] = {
        "computeClusterId": text(required=True, replaces=True),
        "virtualMachineId": text(required=True, replaces=True),
        "haDatastoreApdRecoveryAction": text(default="useClusterDefault"),
        "haDatastoreApdResponse": text(default="clusterDefault"),
        "haDatastoreApdResponseDelay": whole(default=NONE),
        "haDatastorePdlResponse": text(default="clusterDefault"),
        "haHostIsolationResponse": text(default="clusterIsolationResponse"),
        "haVmFailureInterval": whole(default=30),
        "haVmMaximumFailureWindow": whole(default=NONE),
        "haVmMaximumResets": whole(default=3),
        "haVmMinimumUptime": whole(default=120),
        "haVmMonitoring": text(default="vmMonitoringDisabled"),
        "haVmMonitoringUseClusterDefaults": flag(default=True),
        "haVmRestartPriority": text(default="clusterRestartPriority", choices=PRIORITIES),
        "haVmRestartTimeout": whole(default=NONE),
    }

    @override
    def create(self, op: Operation, planned: Props) -> tuple[str, Props]:
        moid = planned["computeClusterId"]
        cluster.cluster_of(op.session, moid)
        vm = cluster.located(op.session, planned["virtualMachineId"])
        self._apply(op, "add", moid, vm, planned)
        resource_id = f"{moid}:{planned['virtualMachineId']}"
        return resource_id, {**planned, "id": resource_id}

    @override
    def read(self, op: Operation, resource_id: str, state: Props) -> tuple[str, Props] | None:
        moid, uuid = cluster.split_id(resource_id)
        try:
            vm = cluster.machine(op.session, uuid)
        except NotFoundError:
            return None
        for config in cluster.configuration(op.session, moid).dasVmConfig:
            if config.key._moId == vm._moId:
                settings = {**state, **_state(config)}
                keys = {"computeClusterId": moid, "virtualMachineId": uuid, "id": resource_id}
                return resource_id, {**settings, **keys}
        return None

    @override
    def update(self, op: Operation, resource_id: str, olds: Props, planned: Props) -> Props:
        del olds
        moid, uuid = cluster.split_id(resource_id)
        try:
            self._apply(op, "edit", moid, cluster.located(op.session, uuid), planned)
        except ProviderError as e:
            raise PartialFailureError(str(e), resource_id, planned) from e
        found = self.read(op, resource_id, planned)
        if found is None:
            raise ProviderError(f"override {resource_id} is gone")
        return found[1]

    @override
    def delete(self, op: Operation, resource_id: str, state: Props) -> None:
        del state
        moid, uuid = cluster.split_id(resource_id)
        vm = cluster.located(op.session, uuid)
        spec = vim.cluster.DasVmConfigSpec(operation="remove", removeKey=vm)
        cluster.reconfigure(op, moid, dasVmConfigSpec=[spec])

    def _apply(self, op: Operation, operation: str, moid: str, vm: Any, planned: Props) -> None:
        spec = vim.cluster.DasVmConfigSpec(operation=operation, info=_config(vm, planned))
        cluster.reconfigure(op, moid, dasVmConfigSpec=[spec])


def _config(vm: Any, planned: Props) -> Any:
    protection = vim.cluster.VmComponentProtectionSettings(
        vmStorageProtectionForAPD=planned["haDatastoreApdResponse"],
        vmTerminateDelayForAPDSec=planned["haDatastoreApdResponseDelay"],
        vmReactionOnAPDCleared=planned["haDatastoreApdRecoveryAction"],
        vmStorageProtectionForPDL=planned["haDatastorePdlResponse"],
    )
    monitoring = vim.cluster.VmToolsMonitoringSettings(
        clusterSettings=planned["haVmMonitoringUseClusterDefaults"],
        vmMonitoring=planned["haVmMonitoring"],
        failureInterval=planned["haVmFailureInterval"],
        maxFailures=planned["haVmMaximumResets"],
        maxFailureWindow=planned["haVmMaximumFailureWindow"],
        minUpTime=planned["haVmMinimumUptime"],
    )
    return vim.cluster.DasVmConfigInfo(
        key=vm,
        dasSettings=vim.cluster.DasVmSettings(
            isolationResponse=planned["haHostIsolationResponse"],
            restartPriority=planned["haVmRestartPriority"],
            restartPriorityTimeout=planned["haVmRestartTimeout"],
            vmComponentProtectionSettings=protection,
            vmToolsMonitoringSettings=monitoring,
        ),
    )


def _state(config: Any) -> Props:
    settings = config.dasSettings
    protection = settings.vmComponentProtectionSettings
    monitoring = settings.vmToolsMonitoringSettings
    found: Props = {
        "haHostIsolationResponse": settings.isolationResponse,
        "haVmRestartPriority": settings.restartPriority,
        "haVmRestartTimeout": settings.restartPriorityTimeout,
    }
    if protection is not None:
        found |= {
            "haDatastoreApdResponse": protection.vmStorageProtectionForAPD,
            "haDatastoreApdResponseDelay": protection.vmTerminateDelayForAPDSec,
            "haDatastoreApdRecoveryAction": protection.vmReactionOnAPDCleared,
            "haDatastorePdlResponse": protection.vmStorageProtectionForPDL,
        }
    if monitoring is not None:
        found |= {
            "haVmMonitoringUseClusterDefaults": monitoring.clusterSettings,
            "haVmMonitoring": monitoring.vmMonitoring,
            "haVmFailureInterval": monitoring.failureInterval,
            "haVmMaximumResets": monitoring.maxFailures,
            "haVmMaximumFailureWindow": monitoring.maxFailureWindow,
            "haVmMinimumUptime": monitoring.minUpTime,
        }
    return {k: v for k, v in found.items() if v is not None}
