"""Checkpoints as OCI artifacts: pack, push, pull, verify. Stand-alone: never imports permafrost."""
