"""What the knowledge tier is told as a whole, as a resource that follows its members."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.work_provider import WorkProvider


class ClusterConvergenceProvider(WorkProvider):
    """Tells the cluster its users and canaries, and waits until every proxy answers right."""

    subject = "cluster"
    compared = ("fingerprint",)

    def work(self, olds: Mapping[str, Any], news: Mapping[str, Any]) -> None:
        """Tell the cluster."""
        del olds, news
        # Imported where it is used: the program that only declares this resource needs none of it.
        from infra.vm_hooks import OWNER
        from permafrost.runbook.knowledge import settle_cluster
        from permafrost.wiring import open_context

        settle_cluster(open_context(Path(os.environ["PERMAFROST_SITE"])), owner=OWNER)
