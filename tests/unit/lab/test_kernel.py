"""Kernel limits that all machines share: raised, never lowered, told where that is forbidden."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import LabError
from lab.instance.kernel import AT_LEAST, ensure_limits

INSTANCES = "fs/inotify/max_user_instances"


def sysctls(folder: Path, values: dict[str, int]) -> Path:
    for name, value in values.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{value}\n")
    return folder


def read(folder: Path) -> dict[str, int]:
    return {name: int((folder / name).read_text()) for name in AT_LEAST}


def test_what_is_too_low_is_raised(tmp_path: Path) -> None:
    folder = sysctls(tmp_path, dict.fromkeys(AT_LEAST, 128))
    ensure_limits(folder)
    assert read(folder) == AT_LEAST


def test_what_is_high_enough_is_left_alone(tmp_path: Path) -> None:
    higher = {name: 2 * least for name, least in AT_LEAST.items()}
    folder = sysctls(tmp_path, higher)
    ensure_limits(folder)
    assert read(folder) == higher


def test_a_limit_that_cannot_be_raised_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sysctls(tmp_path, dict.fromkeys(AT_LEAST, 128))

    def forbidden(self: Path, *args: object, **more: object) -> int:
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(Path, "write_text", forbidden)
    with pytest.raises(LabError) as caught:
        ensure_limits(folder)
    assert caught.value.code == "KERNEL_LIMIT"
    assert "fs.inotify.max_user_instances is 128" in str(caught.value)
    assert read(folder)[INSTANCES] == 128
