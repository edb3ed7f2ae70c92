"""The vector store port: Milvus, reached over SSH, never past the walls."""

from __future__ import annotations

from permafrost.adapters.milvus.store import MilvusStore

__all__ = ["MilvusStore"]
