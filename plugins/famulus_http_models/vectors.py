"""Embeddings as servers answer them, brought into order and to length one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from famulus_schemas.inference import BackendFault

LENGTH_TOLERANCE = 1e-3


class EmbeddingQuestion(msgspec.Struct, omit_defaults=True):
    """The body of a call for embeddings."""

    model: str
    input: Sequence[str]
    encoding_format: str
    dimensions: int | None = None


class _Embedding(msgspec.Struct):
    embedding: list[float]
    index: int


class _Answer(msgspec.Struct):
    data: list[_Embedding]


_decode = msgspec.json.Decoder(_Answer).decode


def read_vectors(body: bytes, count: int, *, backend: str) -> list[list[float]]:
    """One vector a text, in the order of the texts. Raises BackendFault."""
    try:
        data = sorted(_decode(body).data, key=lambda entry: entry.index)
    except (ValueError, RecursionError) as error:
        raise BackendFault("broken", f"it sent no embeddings: {error}", backend=backend) from error
    if [entry.index for entry in data] != list(range(count)):
        raise BackendFault(
            "broken", f"it sent {len(data)} embeddings for {count} texts", backend=backend
        )
    return [_unit(entry.embedding) for entry in data]


def _unit(vector: list[float]) -> list[float]:
    length = math.sqrt(math.fsum(value * value for value in vector))
    if length == 0.0 or abs(length - 1.0) <= LENGTH_TOLERANCE:
        return vector
    return [value / length for value in vector]
