"""Observation, durable state, locks and the executor."""
