"""Embeddings: texts, or texts already cut into tokens, to vectors."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias, cast

from msgspec import UNSET, Meta, UnsetType

from famulus_schemas.wire import Answer, Request, TokenIds

# Four shapes: one text, texts, one text's tokens, the tokens of several texts. The last three
# are one array to the decoder; `embedding_inputs` tells them apart and refuses a mixture.
EmbeddingInput: TypeAlias = (
    str | Annotated[list[str | int | TokenIds], Meta(min_length=1, max_length=2048)]
)


class CreateEmbedding(Request, frozen=True, kw_only=True):
    """Texts to embed."""

    model: str
    input: EmbeddingInput
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    user: str | UnsetType = UNSET


def embedding_inputs(given: EmbeddingInput) -> list[str] | list[list[int]] | None:
    """List the inputs, one for each vector to return, or None when shapes are mixed."""
    if isinstance(given, str):
        return [given]
    kinds = {type(item) for item in given}
    if kinds == {int}:
        return [cast(list[int], given)]
    if kinds == {str}:
        return cast(list[str], given)
    if kinds == {list}:
        return cast(list[list[int]], given)
    return None


class Embedding(Answer, frozen=True, kw_only=True):
    """A vector: numbers, or little-endian 32-bit floats in base64."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Answer, frozen=True, kw_only=True):
    """Tokens read."""

    prompt_tokens: int = 0
    total_tokens: int = 0


class EmbeddingList(Answer, frozen=True, kw_only=True):
    """Vectors in the order of the inputs."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
