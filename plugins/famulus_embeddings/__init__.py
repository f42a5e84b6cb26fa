"""The embedder: texts become vectors, by whichever model server has the model."""

from famulus_embeddings.plugin import Embeddings
from famulus_embeddings.settings import EmbeddingsSettings

__all__ = ["Embeddings", "EmbeddingsSettings"]
