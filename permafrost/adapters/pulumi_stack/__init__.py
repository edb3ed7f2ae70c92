"""Pulumi as the place where existence is kept: one stack a site, driven through its CLI."""

from permafrost.adapters.pulumi_stack.changes import Change
from permafrost.adapters.pulumi_stack.environment import stack_environment
from permafrost.adapters.pulumi_stack.stack import PulumiStack

__all__ = ["Change", "PulumiStack", "stack_environment"]
