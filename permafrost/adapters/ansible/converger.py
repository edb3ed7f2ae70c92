"""Configures one node at a time; the adapter behind ``permafrost.ports.Converger``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from permafrost.adapters.ansible.fingerprint import content_fingerprint, node_fingerprint
from permafrost.adapters.ansible.variables import (
    PublicMaterial,
    SecretMaterial,
    Variables,
    encrypts_inside,
    host_variables,
    server_names,
)
from permafrost.adapters.ansible.workspace import Workspace, control_folder, remove
from permafrost.engine.object_store import object_store_ca, object_store_secret
from permafrost.engine.secrets import own_secret
from permafrost.errors import Failed, Problem, Refused
from permafrost.pki import edge_certificate, registry_ca, site_pki, ssh_key
from permafrost.pki.files import locked
from permafrost.planning.release import Release
from permafrost.site.load import LoadedSite
from permafrost.topology import Node, Tier

SOURCE = Path(__file__).resolve().parents[3]
"""Where playbooks/, templates/ and permafrost/node lie."""
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEADLINE_S = 900
FINGERPRINT = "fingerprint"
"""What a site names where it demands that fingerprints be signed."""
GRACE_S = 30
CERTIFICATE_TASKS = "haproxy_configure"
"""The tag of the tasks that write authority and certificate of a node's HAProxy."""
READER, UPLOADS = "registry-reader", "registry-uploads"
"""Secrets of the site's own that a registry on a VM of it has."""


@dataclass(frozen=True, slots=True)
class NodeConverged:
    """A run that went well: how many tasks changed something, and which."""

    node: str
    changed: int
    changes: tuple[str, ...] = ()


class AnsibleConverger:
    """Ansible for one site. Several nodes may be converged at the same time, one run each."""

    def __init__(
        self,
        loaded: LoadedSite,
        source: Path = SOURCE,
        releases: Callable[[], Mapping[str, Release]] = dict,
    ) -> None:
        self._loaded = loaded
        self._source = source
        self._releases = releases

    def fingerprint(self, node: Node) -> str:
        """Return a digest of everything that decides how the node is configured.

        What its slots hold is not part of it beyond what the site pins: an upgrade changes that
        on the nodes themselves, and a configuration that follows finds it so.
        """
        return node_fingerprint(content_fingerprint(self._source), self._variables(node, {}))

    def variables(self, node: Node) -> Variables:
        """Return what the roles are told about a node; issues its certificate when due."""
        return self._variables(node, self._releases())

    def _variables(self, node: Node, releases: Mapping[str, Release]) -> Variables:
        site, resolve = self._loaded.site, self._loaded.resolve
        names, addresses = server_names(site, node)
        pki = site_pki(self._loaded)
        certificate = edge_certificate(self._loaded) if node.tier is Tier.EDGE else None
        if certificate is None:
            certificate = pki.server_certificate(
                node.name,
                names=names,
                addresses=addresses,
                is_client=encrypts_inside(site, node),
            )
        public = PublicMaterial(
            package_key=_text(resolve(site.packages.key_file)),
            registry_ca=_text(registry_ca(self._loaded)),
            site_ca=pki.ca_pem(),
            object_store_ca=object_store_ca(self._loaded),
            baseline_signers=_baseline_signers(self._loaded),
        )
        secret = SecretMaterial(
            registry_password=self._registry_password(node),
            certificate_pem=certificate.certificate_pem,
            key_pem=certificate.key_pem,
            object_store_password=(
                object_store_secret(self._loaded) if node.tier is Tier.KNOWLEDGE else ""
            ),
            registry_reader_password=(
                own_secret(self._loaded.state_dir, READER) if node.tier is Tier.REGISTRY else ""
            ),
            registry_upload_secret=(
                own_secret(self._loaded.state_dir, UPLOADS) if node.tier is Tier.REGISTRY else ""
            ),
        )
        return host_variables(site, node, public, secret, releases)

    def _registry_password(self, node: Node) -> str:
        """Return the password of who a node is to the registry; on its VM, of who writes."""
        registry = self._loaded.site.registry
        if registry.node is not None and node.tier is not Tier.REGISTRY:
            return own_secret(self._loaded.state_dir, READER)
        return _text(self._loaded.resolve(registry.password_file)).strip()

    def renew_certificate(self, node: Node) -> None:
        """Let the node get another certificate with its next configuration.

        Raises Refused for an edge whose certificate the site's owner has brought.
        """
        if node.tier is Tier.EDGE and edge_certificate(self._loaded) is not None:
            raise Refused(
                Problem(
                    "CERTIFICATE_BROUGHT",
                    f"{node.name} has the certificate that edge.tls names",
                    node.name,
                    "replace its file and run converge without --renew-certificate",
                )
            )
        site_pki(self._loaded).retire(node.name)

    def converge(self, node: Node, *, check: bool = False, joins: bool = False) -> NodeConverged:
        """Configure the node; with ``check`` only say what would change. Waits for its SSH.

        ``joins`` decides nothing that the node is configured as later: it is no part of its
        fingerprint.
        """
        return self._play(node, check=check, more={"etcd_joins": True} if joins else {})

    def write_certificate(self, node: Node) -> NodeConverged:
        """Run only the tasks that write the certificate: what its slots hold is not touched."""
        return self._play(node, tags=CERTIFICATE_TASKS)

    def _play(
        self,
        node: Node,
        *,
        check: bool = False,
        tags: str = "",
        more: Mapping[str, Any] | None = None,
    ) -> NodeConverged:
        workspace = Workspace(self._loaded.state_dir / "ansible" / node.name, node)
        control = control_folder()
        try:
            with locked(workspace.folder):
                key = ssh_key(self._loaded.state_dir)
                variables = self.variables(node)
                variables.plain.update(more or {})
                workspace.prepare(self._source, variables, key, control)
                outcome = self._run(workspace, check=check, tags=tags)
        finally:
            remove(control)
        return result_of(node, outcome, workspace.folder)

    def _run(self, workspace: Workspace, *, check: bool, tags: str) -> dict[str, Any]:
        folder, node = workspace.folder, workspace.node
        outcome = folder / "outcome.json"
        outcome.unlink(missing_ok=True)
        request = {
            "playbooks": str(self._source / "playbooks"),
            "playbook": f"{node.tier}.yml",
            "node": node.name,
            "check": check,
            "tags": tags,
            "ident": f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}",
            "deadline_s": DEADLINE_S,
        }
        (folder / "job.json").write_text(json.dumps(request))
        command = [sys.executable, "-m", "permafrost.adapters.ansible.job", str(folder)]
        said = _run_job(command, workspace.environment())
        if not outcome.exists():
            raise _failed(node, f"Ansible could not be run: {said[-400:] or 'no message'}", folder)
        found: dict[str, Any] = json.loads(outcome.read_text())
        return found


def result_of(node: Node, outcome: Mapping[str, Any], folder: Path) -> NodeConverged:
    """Translate how a run ended; raise Failed with the task and what it said."""
    failures = outcome["failures"]
    if outcome["status"] == "timeout":
        raise _failed(node, f"not configured within {DEADLINE_S} s", folder)
    if failures and failures[0]["is_unreachable"]:
        raise Failed(
            Problem(
                "CONVERGE_UNREACHABLE",
                f"no SSH to {node.address}: {failures[0]['message']}",
                path=node.name,
                hint="`permafrost status` shows the VM's power and host; then try again",
            )
        )
    if failures:
        raise Failed(*(_problem(node, f"{f['task']}: {f['message']}", folder) for f in failures))
    if outcome["rc"] != 0 or outcome["status"] != "successful":
        raise _failed(
            node,
            f"Ansible ended with {outcome['rc']}: {outcome['tail'] or outcome['status']}",
            folder,
        )
    return NodeConverged(
        node=node.name,
        changed=int(outcome["counts"].get("changed", 0)),
        changes=tuple(outcome["changed_tasks"]),
    )


def _run_job(command: list[str], environment: dict[str, str]) -> str:
    """Run the job to its end and return what it wrote to standard error."""
    path = f"{Path(sys.executable).parent}:{SYSTEM_PATH}"
    job = subprocess.Popen(
        [*command, str(os.getpid())],
        cwd=SOURCE,
        env={**environment, "PATH": path, "PYTHONPATH": str(SOURCE)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        return job.communicate(timeout=DEADLINE_S + GRACE_S)[1].strip()
    except BaseException:
        # The job ends its play when asked; only one that does not is killed.
        job.terminate()
        try:
            job.communicate(timeout=GRACE_S)
        except subprocess.TimeoutExpired:
            job.kill()
            job.communicate()
        raise


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise Failed(
            Problem(
                "SITE_FILE_MISSING",
                f"cannot read {path}: {error.strerror}",
                str(path),
                "put it back, or correct the key of the site file that names it",
            )
        ) from None


def _baseline_signers(loaded: LoadedSite) -> dict[str, str] | None:
    """Return who may sign fingerprints (name → PEM), None where the site demands no signature."""
    wanted = loaded.site.registry.signatures
    if wanted is None or FINGERPRINT not in wanted.required_for:
        return None
    return {name: _text(loaded.resolve(file)) for name, file in sorted(wanted.signers.items())}


def _failed(node: Node, message: str, folder: Path) -> Failed:
    return Failed(_problem(node, message, folder))


def _problem(node: Node, message: str, folder: Path) -> Problem:
    return Problem(
        "CONVERGE_FAILED",
        message,
        path=node.name,
        hint=f"the whole run is below {folder / 'artifacts'}; converging again is safe",
    )
