"""The vCenter of a replay: started here, and changed behind the plugin's back."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from lab.provider.config import ProviderConfig
from lab.provider.inventory import view
from lab.provider.session import Operation, Session
from lab.provider.vsphere import vim, vmodl

USER = PASSWORD = "lab"
TEMPLATE = "template-linux"
START_TIMEOUT_S = 20.0
GPU = {
    "id": "0000:3b:00.0",
    "vendor": "10de",
    "device": "2331",
    "class": "0302",
    "name": "GH100 [H100 PCIe]",
}
HOOK = """#!/bin/sh
# VERB NAME: notes what happens to machines, and says the address a guest reports.
# A name with "noip" never reports one; "slowip" does after 5 s. Some guests do not shut down.
cat > /dev/null
case "$1 $2" in "shutdown ig0"|"shutdown ig1"|"shutdown del0"|"shutdown del1") exit 3 ;; esac
[ "$1" = list ] && echo "[]" && exit 0
printf '%s %s\\n' "$1" "$2" >> "{events}"
[ "$1" = on ] || exit 0
case $2 in *noip*) echo "{{}}"; exit 0 ;; *slowip*) sleep 5 ;; esac
last=$((10 + $(printf %s "$2" | cksum | cut -d' ' -f1) % 200))
echo '{{"address":"10.88.0.'$last'","prefix":24,"gateway":"10.88.0.1","hostname":"'"$2"'"}}'
"""


def inventory(folder: Path, port: int) -> dict[str, Any]:
    """Return the configuration that gives the recorded inventory."""
    return {
        "listen": f"127.0.0.1:{port}",
        "user": USER,
        "password_file": str(folder / "password"),
        "cert_file": str(folder / "cert.pem"),
        "key_file": str(folder / "key.pem"),
        "state_dir": str(folder / "state"),
        "hook": [str(folder / "hook")],
        "cgroup_root": "",
        "datacenter": "DC0",
        "cluster": "DC0_C0",
        "datastore": "LocalDS_0",
        "network": "DC0_DVPG0",
        "hosts": [{"name": f"DC0_C0_H{i}", "gpus": [GPU]} for i in range(4)],
        # The recorded vCenter moved nothing by itself.
        "drs": {"level": "manual"},
        "template": {
            "name": TEMPLATE,
            "disk_gib": 10,
            "guest_id": "otherGuest",
            "hardware_version": "vmx-13",
            "firmware": "bios",
        },
    }


def write_certificate(folder: Path) -> None:
    """Write a certificate of its own for 127.0.0.1; nobody checks it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "contract")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=2))
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )


def free_port() -> int:
    """Return a port of this machine that nobody uses."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class VCenter:
    """A vCenter with the recorded inventory and nothing behind it.

    ``shape`` may change the configuration before it starts.
    """

    def __init__(
        self, program: Path, shape: Callable[[dict[str, Any]], None] = lambda _: None
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="contract-")
        folder = Path(self._folder.name)
        self.events_file = folder / "events"
        self.events_file.touch()
        hook = folder / "hook"
        hook.write_text(HOOK.format(events=self.events_file))
        hook.chmod(0o755)
        self.port = free_port()
        (folder / "password").write_text(PASSWORD)
        (folder / "state").mkdir()
        write_certificate(folder)
        configuration = inventory(folder, self.port)
        shape(configuration)
        (folder / "config.json").write_text(json.dumps(configuration))
        # It ends with this process, however that ends: the kernel closes the writing end.
        watched, self._leash = os.pipe()
        with (folder / "log").open("w") as log:
            self._process = subprocess.Popen(
                [str(program), "-watch", str(watched), "-config", str(folder / "config.json")],
                stdout=log,
                stderr=log,
                pass_fds=[watched],
                env={**os.environ, "TMPDIR": str(folder)},
            )
        os.close(watched)
        self._await_start()
        self.admin = Administrator(self.port)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait(10)
        os.close(self._leash)
        with contextlib.suppress(OSError):
            self._folder.cleanup()

    def _await_start(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), timeout=1),
            ):
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        log = (Path(self._folder.name) / "log").read_text()
        raise RuntimeError(f"the vCenter did not start: {log[-1000:]}")

    @property
    def vcenter_dir(self) -> Path:
        """Where the lab would keep the vCenter's files."""
        return Path(self._folder.name)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Say whether it still runs."""
        return self._process.poll() is None

    def refuse(self, method: str, words: str) -> None:
        """Let the next call of a method fail with these words."""
        transport = httpx.HTTPTransport(uds=str(Path(self._folder.name) / "state" / "admin.sock"))
        with httpx.Client(transport=transport, timeout=10) as client:
            query = {"method": method, "times": "1", "words": words}
            client.post("http://vcenter/service/refuse", params=query).raise_for_status()

    def power_events(self) -> list[str]:
        """Return what happened to machines so far; off is off, gently or not."""
        verbs = [line.split()[0] for line in self.events_file.read_text().splitlines()]
        return ["off" if verb == "shutdown" else verb for verb in verbs]


class Administrator:
    """What a person does by hand, straight at vCenter."""

    def __init__(self, port: int) -> None:
        config = ProviderConfig("127.0.0.1", port, USER, PASSWORD, verify_tls=False)
        self._session = Session(config)
        self._op = Operation(self._session, "")

    def do(self, action: str, args: dict[str, Any]) -> dict[str, Any]:
        """Do one thing, named as in the cases."""
        run: Callable[..., dict[str, Any]] = getattr(self, f"_{action}")
        return run(**args)

    def clean(self) -> None:
        """Remove whatever a case left behind."""
        root = self._session.content.rootFolder
        for machine in view(self._session, root, vim.VirtualMachine):
            name = self._name(machine)
            if name not in (None, TEMPLATE):
                self._destroy(str(name))
        config = self._configuration()
        rules = [vim.cluster.RuleSpec(operation="remove", removeKey=r.key) for r in config.rule]
        groups = [
            vim.cluster.GroupSpec(operation="remove", removeKey=g.name) for g in config.group
        ]
        if rules or groups:
            self._change_cluster(vim.cluster.ConfigSpecEx(rulesSpec=rules, groupSpec=groups))
        for pool in view(self._session, self._cluster(), vim.ResourcePool):
            if self._name(pool) not in (None, "Resources"):
                self._op.wait(pool.Destroy_Task())
        center = self._find(vim.Datacenter, "DC0")
        for folder in reversed(view(self._session, center.vmFolder, vim.Folder)):
            self._op.wait(folder.Destroy_Task())
        self._clean_tags()

    def _clean_tags(self) -> None:
        tagging = self._session.tagging
        for kind in ("tag", "category"):
            for found in tagging.call("GET", f"/tagging/{kind}") or []:
                tagging.call("DELETE", f"/tagging/{kind}/id:{found}")

    def _name(self, target: Any) -> str | None:
        try:
            return str(self._session.properties(target, "name")["name"])
        except vmodl.fault.ManagedObjectNotFound:
            return None  # a folder may still list an object that is gone

    def _find(self, kind: Any, name: str) -> Any:
        every = view(self._session, self._session.content.rootFolder, kind)
        return next((t for t in every if self._name(t) == name), None)

    def _cluster(self) -> Any:
        return self._find(vim.ClusterComputeResource, "DC0_C0")

    def _configuration(self) -> Any:
        return self._session.properties(self._cluster(), "configurationEx")["configurationEx"]

    def _state(self, vm: str) -> dict[str, Any]:
        machine = self._find(vim.VirtualMachine, vm)
        if machine is None:
            return {"exists": False}
        hardware = machine.config.hardware
        disks = [d for d in hardware.device if isinstance(d, vim.vm.device.VirtualDisk)]
        owned = [d for d in hardware.device if isinstance(d, vim.vm.device.VirtualPCIPassthrough)]
        return {
            "exists": True,
            "power": machine.runtime.powerState,
            "host": machine.runtime.host.name,
            "cpus": hardware.numCPU,
            "memory": hardware.memoryMB,
            "folder": machine.parent.name,
            "disksGiB": [d.capacityInKB >> 20 for d in disks],
            "passthrough": len(owned),
        }

    def _powerOff(self, vm: str) -> dict[str, Any]:  # noqa: N802
        self._op.wait(self._find(vim.VirtualMachine, vm).PowerOffVM_Task())
        return {}

    def _powerOn(self, vm: str) -> dict[str, Any]:  # noqa: N802
        self._op.wait(self._find(vim.VirtualMachine, vm).PowerOnVM_Task(None))
        return {}

    def _destroy(self, vm: str) -> dict[str, Any]:
        machine = self._find(vim.VirtualMachine, vm)
        if machine.runtime.powerState == "poweredOn":
            self._op.wait(machine.PowerOffVM_Task())
        self._op.wait(machine.Destroy_Task())
        return {}

    def _move(self, vm: str, host: str) -> dict[str, Any]:
        target = vim.vm.RelocateSpec(host=self._find(vim.HostSystem, host))
        self._op.wait(self._find(vim.VirtualMachine, vm).RelocateVM_Task(target, None))
        return {}

    def _setCpus(self, vm: str, value: int) -> dict[str, Any]:  # noqa: N802
        return self._reconfigure(vm, vim.vm.ConfigSpec(numCPUs=value))

    def _setExtraConfig(self, vm: str, value: dict[str, str]) -> dict[str, Any]:  # noqa: N802
        options = [vim.option.OptionValue(key=k, value=v) for k, v in value.items()]
        return self._reconfigure(vm, vim.vm.ConfigSpec(extraConfig=options))

    def _reconfigure(self, vm: str, spec: Any) -> dict[str, Any]:
        self._op.wait(self._find(vim.VirtualMachine, vm).ReconfigVM_Task(spec))
        return {}

    def _rename(self, vm: str, value: str) -> dict[str, Any]:
        self._op.wait(self._find(vim.VirtualMachine, vm).Rename_Task(value))
        return {}

    def _deleteRule(self, rule: str) -> dict[str, Any]:  # noqa: N802
        keys = [r.key for r in self._configuration().rule if r.name == rule]
        specs = [vim.cluster.RuleSpec(operation="remove", removeKey=k) for k in keys]
        return self._change_cluster(vim.cluster.ConfigSpecEx(rulesSpec=specs))

    def _deleteGroup(self, rule: str) -> dict[str, Any]:  # noqa: N802
        spec = vim.cluster.GroupSpec(operation="remove", removeKey=rule)
        return self._change_cluster(vim.cluster.ConfigSpecEx(groupSpec=[spec]))

    def _change_cluster(self, spec: Any) -> dict[str, Any]:
        self._op.wait(self._cluster().ReconfigureComputeResource_Task(spec, True))
        return {}
