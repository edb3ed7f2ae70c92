"""These tests write many small commits."""

from tests.fakes.memory import tmp_path

__all__ = ["tmp_path"]
