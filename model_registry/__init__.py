"""Checkpoints as OCI artifacts: pack, store, move, verify. Stands alone; knows nothing of a site.

A checkpoint is a directory of files. Packed, every file is one raw blob whose digest is the
file's own SHA-256, and the checkpoint's id is the digest of its manifest. Nothing in a manifest
depends on time, place or order of work, so the same files give the same id everywhere.
"""
