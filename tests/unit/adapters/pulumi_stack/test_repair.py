"""Notes that an interrupted run cut off, and processes that it left."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from lab.instance.waiting import wait_until
from permafrost.adapters.pulumi_stack import repair
from permafrost.adapters.pulumi_stack.repair import leftovers, remove_damaged_notes

URL = "file:///nowhere/pulumi"


def test_a_note_that_was_cut_off_is_removed_and_the_state_beside_it_stays(tmp_path: Path) -> None:
    folder = tmp_path / ".pulumi/stacks/permafrost"
    folder.mkdir(parents=True)
    (folder / "lab.json").write_text("{}")
    history = tmp_path / ".pulumi/history/permafrost/lab"
    history.mkdir(parents=True)
    empty, whole = folder / "lab.json.attrs", folder / "lab.json.bak.attrs"
    half, general = history / "lab-1.history.json.attrs", tmp_path / ".pulumi/meta.yaml.attrs"
    foreign = folder / "lab-2.json.attrs"
    empty.write_text("")
    foreign.write_text("")
    general.write_text("")
    half.write_text('{"user.content_type": "app')
    whole.write_text('{"md5": ""}')
    assert remove_damaged_notes(tmp_path, "lab") == 3
    assert not any(path.exists() for path in (empty, half, general))
    assert whole.exists()
    assert foreign.exists()  # whoever has that stack may be writing it
    assert (folder / "lab.json").exists()
    assert remove_damaged_notes(tmp_path / "none", "lab") == 0


def test_processes_of_another_stack_in_the_same_backend_are_not_ours(tmp_path: Path) -> None:
    plugin = tmp_path / "pulumi-resource-nothing"
    shutil.copy("/bin/sleep", plugin)
    environment = {**os.environ, "PULUMI_BACKEND_URL": URL, "PULUMI_STACK": "lab"}
    with subprocess.Popen([plugin, "60"], env=environment) as process:
        try:
            # A program begins before the kernel tells its environment.
            assert wait_until(lambda: leftovers(URL, "lab"), 10) == (process.pid,)
            assert leftovers(URL, "lab-2") == ()
            assert leftovers("s3://bucket", "lab") == ()
        finally:
            process.kill()


def test_what_is_ending_with_its_engine_is_not_left_behind(tmp_path: Path) -> None:
    """A refresh has just ended: its plugins are there yet, and gone in a moment."""
    plugin = tmp_path / "pulumi-resource-nothing"
    shutil.copy("/bin/sleep", plugin)
    environment = {**os.environ, "PULUMI_BACKEND_URL": URL, "PULUMI_STACK": "ending"}
    with subprocess.Popen([plugin, "1"], env=environment):
        assert wait_until(lambda: repair._processes_of(URL, "ending"), 10), "the control"
        assert leftovers(URL, "ending") == ()
