"""A machine from which a site with a backend of its own is deployed; its program says a secret."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.build import parts
from permafrost.adapters.pulumi_stack.backend import stack_files
from permafrost.adapters.pulumi_stack.checkpoint import VM_TYPE
from permafrost.adapters.pulumi_stack.environment import config_file
from permafrost.adapters.pulumi_stack.stack import PulumiStack
from permafrost.site.load import load_site
from permafrost.topology import node_names
from tests.fakes.site import document, write_site

SECRET = "hush-hush"
PROGRAM = f'import pulumi\npulumi.export("said", pulumi.Output.secret("{SECRET}"))\n'


@dataclass
class Desk:
    """A machine from which one site is deployed."""

    folder: Path

    def names(self, **control: str | None) -> PulumiStack:
        """Write the site file with these keys of ``control``; return its stack."""
        values = document()
        for key, value in control.items():
            values["control"].pop(key, None)
            if value is not None:
                values["control"][key] = value
        self.loaded = load_site(write_site(self.folder, values))
        checkout = self.folder / "checkout"
        checkout.mkdir(exist_ok=True)
        project = {"name": "permafrost", "runtime": "python"}
        (checkout / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        (checkout / "__main__.py").write_text(PROGRAM)
        engine = parts.path("pulumi") / "bin"
        self.stack = PulumiStack(self.loaded, engine=engine, checkout=checkout)
        return self.stack

    def type(self, *arguments: str, **extra: str) -> str:
        """Type ``pulumi`` beside the working copy, as `permafrost env` prepares it."""
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=stack_files(self.loaded),
            env={**os.environ, **self.stack.env(), **extra},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def secret(self) -> str:
        """Return what the program wrote, decrypted."""
        return self.type("stack", "output", "said", "--show-secrets").strip()

    def settings(self) -> dict[str, Any]:
        """Return the working copy of the stack's configuration."""
        found: dict[str, Any] = yaml.safe_load(config_file(self.loaded).read_text())
        return found

    def know_vms(self) -> None:
        """Bring every VM of the site into the state: then vCenter is not asked for lost ones."""
        state = json.loads(self.type("stack", "export"))
        provider = "urn:pulumi:lab::permafrost::pulumi:providers:vsphere::default"
        state["deployment"].setdefault("resources", []).extend(
            [
                {"urn": provider, "custom": True, "id": "x", "type": "pulumi:providers:vsphere"},
                *(
                    {
                        "urn": f"urn:pulumi:lab::permafrost::{VM_TYPE}::{name}",
                        "custom": True,
                        "id": name,
                        "type": VM_TYPE,
                        "provider": f"{provider}::x",
                    }
                    for name, _, _ in node_names(self.loaded.site)
                ),
            ]
        )
        path = self.folder / "state.json"
        path.write_text(json.dumps(state))
        self.type("stack", "import", "--file", str(path))
