"""Permafrost: highly available inference of frozen checkpoints on VMware vSphere."""

__version__ = "0.1.0"
