"""One session at a vCenter; the faults of library and server are translated here."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any, TypeVar

from pyVim import connect
from pyVmomi import vim, vmodl

from permafrost.adapters.vsphere.version import version_of
from permafrost.errors import Failed, PermafrostError, Problem
from permafrost.site.load import LoadedSite

T = TypeVar("T")
library: Any = connect  # pyvmomi's functions carry no types
CONNECT_S = 20


class VcenterSession:
    """Logs in when first needed, again when the session has run out."""

    def __init__(self, loaded: LoadedSite) -> None:
        self.loaded = loaded
        self._instance: Any = None
        self._known: Any = None
        """What the server tells about itself: it is the same as long as the session lasts."""
        self._lock = threading.RLock()

    def call(self, work: Callable[[Any], T]) -> T:
        """Run work with the service content; log in anew once when the session has run out."""
        with self._lock, self._translated():
            try:
                return work(self._content())
            except (
                vim.fault.NotAuthenticated,
                ConnectionError,
                ssl.SSLEOFError,
                HTTPException,
            ):
                self._instance = self._known = None
                return work(self._content())

    def close(self) -> None:
        """Log out."""
        with self._lock:
            if self._instance is not None:
                library.Disconnect(self._instance)
                self._instance = self._known = None

    def _content(self) -> Any:
        if self._instance is None:
            vcenter = self.loaded.site.vcenter
            host, _, port = vcenter.server.partition(":")
            password = self.loaded.resolve(vcenter.password_file).read_text().rstrip("\n")
            tls = self.tls()
            self._instance = library.Connect(
                host=host,
                port=int(port or 443),
                user=vcenter.user,
                pwd=password,
                version=version_of(host, int(port or 443), tls, CONNECT_S),
                sslContext=tls,
                httpConnectionTimeout=CONNECT_S,
                connectionPoolTimeout=-1,
            )
        if self._known is None:
            self._known = self._instance.RetrieveContent()
        return self._known

    def tls(self) -> ssl.SSLContext:
        """Return what verifies the server, as the site file says."""
        vcenter = self.loaded.site.vcenter
        ca = self.loaded.resolve(vcenter.ca_file) if vcenter.ca_file else None
        context = ssl.create_default_context(cafile=str(ca) if ca else None)
        if vcenter.allow_unverified_ssl:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    @contextmanager
    def _translated(self) -> Iterator[None]:
        server = self.loaded.site.vcenter.server
        try:
            yield
        except PermafrostError:
            raise
        except vim.fault.InvalidLogin:
            raise Failed(
                Problem(
                    "VCENTER_LOGIN",
                    f"{server} does not accept this user and password",
                    "vcenter.user",
                    "check vcenter.user and the file that vcenter.password_file names",
                )
            ) from None
        except ssl.SSLCertVerificationError as error:
            # A connection that breaks off within TLS is an SSLError too, and no certificate's.
            raise Failed(
                Problem(
                    "VCENTER_CERTIFICATE",
                    f"{server}: {error.reason or error}",
                    "vcenter.ca_file",
                    "name the authority that signed the vCenter's certificate",
                )
            ) from None
        except (OSError, HTTPException) as error:
            raise Failed(
                Problem(
                    "VCENTER_UNREACHABLE",
                    f"{server} does not answer: {error}",
                    "vcenter.server",
                    "check the address, and that the vCenter runs",
                )
            ) from None
        except vmodl.MethodFault as error:
            message = getattr(error, "msg", "") or type(error).__name__
            raise Failed(
                Problem(
                    "VCENTER_FAULT",
                    f"{server}: {message}",
                    "vcenter.server",
                    "vCenter's own tasks and events say more; then run it again, or resume",
                )
            ) from None
