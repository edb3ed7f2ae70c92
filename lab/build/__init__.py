"""Builds what the lab runs on: engines, the base image, packages, container images, checkpoints.

Standard library only: this runs before the project's own Python environment exists. Each part is
kept in a cache under the hash of everything that it is made from, so that a part is built once
and a changed input can never meet a stale result.
"""
