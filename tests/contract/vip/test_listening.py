"""An edge takes packets to the clients' address after every convergence, whatever came before."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.contract.vip.listening import FIRST, SECOND
from tests.golden.ansible.rendering import ROOT

NAMESPACES = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


def test_a_run_that_failed_before_it_could_tell_is_made_up_for_by_the_next(tmp_path: Path) -> None:
    command = [*NAMESPACES, sys.executable, "-m", "tests.contract.vip.listening", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (vip.partition("/")[0] for vip in (FIRST, SECOND))
    anew, again, made_up, moved = json.loads(done.stdout)
    assert anew == {"changed": 2, "addresses": [first], "arp_ignore": "1"}
    assert again == {**anew, "changed": 0}
    assert made_up == anew
    assert moved == {"changed": 1, "addresses": [second], "arp_ignore": "1"}
