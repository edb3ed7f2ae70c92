"""What is planned from tables and arithmetic, seen on a GPU passed through to this machine.

Needs an NVIDIA device with its driver, PyTorch and transformers; no test tier collects it. Run it
inside a VM of the kind that a site has, from the checkout's root, and keep what it tells:

    EVIDENCE=hardware.json python3 -m pytest -c /dev/null --rootdir . tests/hardware
"""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

NEEDED = ("torch", "transformers")
collect_ignore_glob = []
if not all(importlib.util.find_spec(name) for name in NEEDED):
    collect_ignore_glob.append("test_*.py")


@pytest.fixture(scope="session", autouse=True)
def _evidence() -> Iterator[None]:
    """Write down what was seen, also where a test fails."""
    import torch
    import transformers

    from tests.hardware.card import TOLD

    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    TOLD["seen_at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    TOLD["torch"], TOLD["transformers"] = torch.__version__, transformers.__version__
    yield
    if place := os.environ.get("EVIDENCE"):
        Path(place).write_text(json.dumps(TOLD, indent=1, sort_keys=True) + "\n", "utf-8")


@pytest.fixture(autouse=True)
def _free() -> Iterator[None]:
    """Give memory back after each test: the next one measures."""
    yield
    import torch

    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
