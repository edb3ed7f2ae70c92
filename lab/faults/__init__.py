"""Faults of the lab, applied and healed, each recorded with its time."""
