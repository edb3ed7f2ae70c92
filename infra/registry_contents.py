"""Whether the registry's VM holds what the site pins, as a resource that what pulls waits for.

A first ``up`` makes the registry and ends here, with what is to be pushed; the next one looks
again and goes on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.work_provider import WorkProvider


class RegistryContentsProvider(WorkProvider):
    """Looks up what is pinned: again for other pins or another VM; fails while any is missing."""

    subject = "registry"
    compared = ("vm", "fingerprint")

    def work(self, olds: Mapping[str, Any], news: Mapping[str, Any]) -> None:
        """Look it up."""
        del olds, news
        # Imported where it is used: the program that only declares this resource needs none of it.
        from permafrost.runbook.registry_contents import require_contents
        from permafrost.wiring import open_context

        context = open_context(Path(os.environ["PERMAFROST_SITE"]))
        context.guard()
        require_contents(context)
