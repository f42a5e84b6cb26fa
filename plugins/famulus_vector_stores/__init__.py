"""Vector stores: files made searchable in the background, and found by meaning and by words."""

from famulus_vector_stores.plugin import VectorStoresPlugin

__all__ = ["VectorStoresPlugin"]
