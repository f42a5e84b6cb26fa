"""Embeddings: four shapes of input, two of output."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from famulus_schemas.embeddings import (
    CreateEmbedding,
    Embedding,
    EmbeddingList,
    EmbeddingUsage,
    embedding_inputs,
)


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ("hello", ["hello"]),
        (["a", "b"], ["a", "b"]),
        ([1, 2], [[1, 2]]),
        ([[1], [2, 3]], [[1], [2, 3]]),
        (["a", 1], None),
        ([1, [2]], None),
        ([["a"]], "refused"),
        ([], "refused"),
        ([[]], "refused"),
        ([True], "refused"),
        (None, "refused"),
        (["a"] * 2048, ["a"] * 2048),
        (["a"] * 2049, "refused"),
        ([1] * 2049, "refused"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_input_has_four_shapes(accepts: Any, refuses: Any, given: object, inputs: object) -> None:
    body = {"model": "m", "input": given}
    if inputs == "refused":
        refuses(CreateEmbedding, body, "$.input")
    else:
        assert embedding_inputs(accepts(CreateEmbedding, body).input) == inputs


def test_a_vector_has_at_least_one_dimension(accepts: Any, refuses: Any) -> None:
    accepts(CreateEmbedding, {"model": "m", "input": "x", "dimensions": 1})
    refuses(CreateEmbedding, {"model": "m", "input": "x", "dimensions": 0}, "$.dimensions")


def test_vectors_are_numbers_unless_base64_is_asked_for(accepts: Any, refuses: Any) -> None:
    assert accepts(CreateEmbedding, {"model": "m", "input": "x"}).encoding_format == "float"
    accepts(CreateEmbedding, {"model": "m", "input": "x", "encoding_format": "base64"})
    refuses(CreateEmbedding, {"model": "m", "input": "x", "encoding_format": "hex"})


def test_an_unknown_key_is_refused(refuses: Any) -> None:
    refuses(CreateEmbedding, {"model": "m", "input": "x", "truncate": 1}, "truncate")


def test_vectors_are_listed_in_order() -> None:
    vectors = [
        Embedding(index=0, embedding=[0.5]),
        Embedding(index=1, embedding="AAAAPw=="),
    ]
    answer = EmbeddingList(data=vectors, model="m", usage=EmbeddingUsage(prompt_tokens=2))
    assert msgspec.to_builtins(answer) == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5]},
            {"object": "embedding", "index": 1, "embedding": "AAAAPw=="},
        ],
        "model": "m",
        "usage": {"prompt_tokens": 2, "total_tokens": 0},
    }
