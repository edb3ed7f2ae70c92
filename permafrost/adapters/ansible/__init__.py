"""Convergence by Ansible: what is installed and configured on one node."""

from __future__ import annotations

from permafrost.adapters.ansible.converger import AnsibleConverger

__all__ = ["AnsibleConverger"]
