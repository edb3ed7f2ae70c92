"""Observe, plan, confirm, execute: one module a command."""
