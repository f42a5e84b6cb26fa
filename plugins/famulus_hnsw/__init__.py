"""Approximate search of large vector stores in this process, by graphs of their vectors."""

from famulus_hnsw.plugin import Hnsw

__all__ = ["Hnsw"]
