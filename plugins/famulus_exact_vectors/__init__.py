"""Exact search of vector stores in this process: the embedded default of VECTORS."""

from famulus_exact_vectors.plugin import ExactVectors

__all__ = ["ExactVectors"]
