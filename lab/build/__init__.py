"""Cached builds of everything the lab needs."""
