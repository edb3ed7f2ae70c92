"""The Pulumi program in the built engine, on a vCenter that is started here; no machines."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.build import parts
from lab.provider.package import install
from permafrost.adapters.pulumi_stack.environment import CHECKOUT, stack_environment
from permafrost.adapters.pulumi_stack.stack import PulumiStack
from permafrost.adapters.vsphere import VcenterSession, VsphereHypervisor
from permafrost.engine.state import StateStore
from permafrost.planning.snapshot import Inventory
from permafrost.site.load import LoadedSite, load_site
from tests.contract.provider.administrator import PASSWORD, USER
from tests.contract.provider.vcenter import VCenter
from tests.contract.vsphere.byhand import two_gpus
from tests.fakes.site import document, write_site

DEADLINE_S = 300
CONVERGENCE = "**:Convergence::**"


@dataclass
class Program:
    """One site whose program the engine runs."""

    loaded: LoadedSite
    engine: Path
    vcenter: VCenter

    def pulumi(self, *arguments: str, folder: Path = CHECKOUT) -> subprocess.CompletedProcess[str]:
        """Run a typed ``pulumi`` as `permafrost env` prepares it."""
        environment = {**os.environ, **stack_environment(self.loaded, engine=self.engine)}
        return subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    @property
    def store(self) -> StateStore:
        """What the site's control plane remembers."""
        return StateStore(self.loaded.state_dir)

    @property
    def stack(self) -> PulumiStack:
        """The site's stack, as the commands drive it."""
        return PulumiStack(self.loaded, engine=self.engine)

    @property
    def hypervisor(self) -> VsphereHypervisor:
        """The site's vCenter, as the commands ask it."""
        vcenter = self.loaded.site.vcenter
        session = VcenterSession(self.loaded)
        return VsphereHypervisor(session, vcenter.datacenter, vcenter.cluster)

    def observe(self) -> Inventory:
        """Look at vCenter as the commands do."""
        return self.hypervisor.observe()

    def up(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Make the VMs; nothing runs in them that could be configured."""
        done = self.pulumi("up", "--yes", "--skip-preview", f"--exclude={CONVERGENCE}", *options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def rewrite(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the site file."""
        values = yaml.safe_load(self.loaded.path.read_text())
        change(values)
        self.loaded.path.write_text(yaml.safe_dump(values))
        self.loaded = load_site(self.loaded.path)

    def change(self, **chat: Any) -> None:
        """Change keys of the endpoint in the site file."""
        self.rewrite(lambda values: values["inference"]["chat"].update(chat))


def _shape(configuration: dict[str, Any]) -> None:
    two_gpus(configuration)
    for index, host in enumerate(configuration["hosts"]):
        host["name"] = f"esx-{index}"
    configuration["more_datastores"] = ["LocalDS_1"]
    configuration["more_networks"] = ["DC0_DVPG1"]
    configuration["template"] |= {"hardware_version": "vmx-21", "firmware": "efi"}


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """A site of two replicas and an edge, with the plugin installed for its stack."""
    engine = parts.path("pulumi") / "bin"
    given = os.environ.get("PERMAFROST_LABVCENTER")
    labvcenter = Path(given) if given else parts.path("vcenter") / "bin" / "labvcenter"
    with VCenter(labvcenter, _shape) as vcenter:
        values = document()
        values["vcenter"] |= {
            "server": f"127.0.0.1:{vcenter.port}",
            "user": USER,
            "allow_unverified_ssl": True,
            "datacenter": "DC0",
            "cluster": "DC0_C0",
            "datastore": "LocalDS_0",
            "network": "DC0_DVPG0",
            "template": "template-linux",
        }
        del values["vcenter"]["ca_file"]
        chat = {**values["inference"]["chat"], "replicas": 2, "min_ready": 1}
        values["inference"] = {"chat": chat}
        path = write_site(tmp_path, values)
        (tmp_path / values["vcenter"]["password_file"]).write_text(PASSWORD + "\n")
        loaded = load_site(path)
        install(engine / "pulumi", loaded.state_dir / "pulumi-home")
        PulumiStack(loaded, engine=engine).ensure_stack()
        yield Program(loaded, engine, vcenter)
