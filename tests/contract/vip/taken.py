"""What keepalived says of a configuration, on a link of its own.

Run by ``test_taken.py`` in namespaces of its own, with the folder of the configurations; prints
JSON: what was said, by the file's name.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.contract.vip.machines import LINK, sh


def said(file: Path) -> list[str]:
    """Return what is wrong with a configuration. Its exit status tells nothing everywhere."""
    done = subprocess.run(
        ["keepalived", "--config-test", f"--use-file={file}"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return (done.stdout + done.stderr).splitlines()


def main() -> None:
    """Have every configuration of a folder looked at."""
    sh("ip", "link", "add", LINK, "type", "veth", "peer", "name", "other")
    sh("ip", "address", "add", "10.20.0.20/24", "dev", LINK)
    # keepalived looks whether it is there.
    sh("mount", "-t", "tmpfs", "tmpfs", "/usr/local/sbin")
    command = Path("/usr/local/sbin/permafrost-vip")
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    files = sorted(Path(sys.argv[1]).glob("*.conf"))
    sys.stdout.write(json.dumps({file.stem: said(file) for file in files}))


if __name__ == "__main__":
    main()
