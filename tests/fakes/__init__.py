"""Fakes of the ports, over one simulated site."""
