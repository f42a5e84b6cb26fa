"""A sentence embedder of its own: a small BERT on the CPU, with no server and no torch."""

from famulus_sentences.plugin import Sentences
from famulus_sentences.settings import SentencesSettings

__all__ = ["Sentences", "SentencesSettings"]
