"""What an operator says of an upgrade by name: the way, and what is accepted with it.

On their own, so that a command line is read without what plans an upgrade.
"""

from __future__ import annotations

from enum import StrEnum


class Strategy(StrEnum):
    """How an endpoint gets another checkpoint."""

    SIDE_BY_SIDE = "side by side"
    CUT_OVER = "cut-over"
    ROLLING = "rolling"


class Accept(StrEnum):
    """What an operator may accept by name: each changes something that clients may rely on."""

    CONTEXT = "context"
    TOKENIZER = "tokenizer"
    CONTRACT = "contract"
    MEMORY = "memory"
