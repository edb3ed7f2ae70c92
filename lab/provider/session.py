"""The one session with vCenter that all operations of this process share.

pyvmomi's stub keeps a pool of connections and locks it, so operations run side by side on one
login. Tasks are watched by reading their own property, never by a shared property collector's
filter: what one operation waits for is no other operation's business.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
from dataclasses import dataclass, field
from typing import Any

from lab.provider.config import ProviderConfig
from lab.provider.errors import ProviderError
from lab.provider.tagging import Tagging
from lab.provider.vsphere import smart_connect, vim, vmodl
from lab.provider.waiting import wait_until

GONE = "ServerFaultCode: The object has already been deleted or has not been completely created"
KEEP_ALIVE_S = 300.0
POOL_SIZE = 16
TASK_TIMEOUT_S = 1800.0
DONE = ("success", "error")


def fault_text(fault: BaseException) -> str:
    """Return a fault in the words the provider has for it."""
    if isinstance(fault, vmodl.fault.ManagedObjectNotFound):
        return GONE
    message = getattr(fault, "msg", None)
    if message:
        return f"ServerFaultCode: {message}"
    return task_fault_text(fault)


def task_fault_text(fault: BaseException) -> str:
    """Return the fault of a task: its sentence, or its type where vCenter says none."""
    message = getattr(fault, "msg", None)
    return str(message) if message else f"*types.{type(fault).__name__.rsplit('.', 1)[-1]}"


class Session:
    """One login; safe to use from many threads."""

    def __init__(self, config: ProviderConfig) -> None:
        self.config = config
        self.closed = threading.Event()
        context = ssl.create_default_context()
        if not config.verify_tls:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        try:
            self.service = smart_connect(
                host=config.host,
                port=config.port,
                user=config.user,
                pwd=config.password,
                sslContext=context,
                connectionPoolTimeout=-1,
            )
        except vim.fault.InvalidLogin as e:
            reason = "ServerFaultCode: Login failure"
            raise ProviderError(f"error setting up new vSphere SOAP client: {reason}") from e
        except (OSError, vmodl.MethodFault) as e:
            raise ProviderError(f"error setting up new vSphere SOAP client: {e}") from e
        self.service._stub.poolSize = POOL_SIZE
        self.content = self.service.RetrieveContent()
        self.tagging = Tagging(config, context)
        threading.Thread(target=self._keep_alive, daemon=True).start()

    def _keep_alive(self) -> None:
        while not self.closed.wait(KEEP_ALIVE_S):
            with contextlib.suppress(OSError, vmodl.MethodFault):
                self.service.CurrentTime()

    def reference(self, kind: type, moid: str) -> Any:
        """Return the object with this id, without asking whether it exists."""
        return kind(moid, self.service._stub)

    def properties(self, target: Any, *paths: str) -> dict[str, Any]:
        """Return several properties of one object in one call; unset ones are left out."""
        collector = vmodl.query.PropertyCollector
        spec = collector.FilterSpec(
            objectSet=[collector.ObjectSpec(obj=target)],
            propSet=[collector.PropertySpec(type=type(target), pathSet=list(paths))],
        )
        found = self.content.propertyCollector.RetrieveContents([spec])
        return {p.name: p.val for p in found[0].propSet} if found else {}

    def properties_of_all(self, targets: list[Any], *paths: str) -> dict[str, dict[str, Any]]:
        """Return properties of several objects of one kind, by object id, in one call."""
        if not targets:
            return {}
        collector = vmodl.query.PropertyCollector
        spec = collector.FilterSpec(
            objectSet=[collector.ObjectSpec(obj=t) for t in targets],
            propSet=[collector.PropertySpec(type=type(targets[0]), pathSet=list(paths))],
        )
        found = self.content.propertyCollector.RetrieveContents([spec])
        return {o.obj._moId: {p.name: p.val for p in o.propSet} for o in found}


@dataclass
class Operation:
    """One call of the engine: the session it works on, what it is for, and its way out."""

    session: Session
    urn: str
    cancelled: threading.Event = field(default_factory=threading.Event)

    def wait(self, task: Any, timeout_s: float = TASK_TIMEOUT_S) -> Any:
        """Wait for a task and return its result; raises ProviderError with its fault."""

        def finished() -> Any:
            info = self.session.properties(task, "info")["info"]
            return info if info.state in DONE else None

        info = wait_until(finished, timeout_s, self.cancelled)
        if info is None:
            raise ProviderError(f"timeout while waiting for task {task._moId}")
        if info.state == "error":
            raise ProviderError(task_fault_text(info.error))
        return info.result
