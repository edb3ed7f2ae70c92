"""Ask an endpoint a question, as a client would."""

from __future__ import annotations

from collections.abc import Callable

from permafrost.adapters.inference import Answer, ask_endpoint
from permafrost.pki import edge_trust
from permafrost.planning.lookup import endpoint_named
from permafrost.site.load import LoadedSite
from permafrost.topology import service_address


def ask(
    loaded: LoadedSite,
    endpoint: str,
    text: str,
    *,
    max_tokens: int,
    timeout_s: float,
    key: str = "",
    on_text: Callable[[str], None] = lambda _: None,
) -> Answer:
    """Return the answer of whichever replica the edge chose."""
    site = loaded.site
    port = endpoint_named(site, endpoint).port
    return ask_endpoint(
        f"{service_address(site)}:{port}",
        endpoint,
        text,
        trust=edge_trust(loaded),
        max_tokens=max_tokens,
        timeout_s=timeout_s,
        key=key,
        on_text=on_text,
    )
