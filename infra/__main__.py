"""The Pulumi program of one site: `eval "$(permafrost env)"`, then `pulumi up`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from infra.program import deploy

deploy()
