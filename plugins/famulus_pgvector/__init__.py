"""Search of vector stores in PostgreSQL, with pgvector."""

from famulus_pgvector.plugin import Pgvector

__all__ = ["Pgvector"]
