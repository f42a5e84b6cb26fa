"""A model of the same kind as real ones, small enough to be made by a test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

np = pytest.importorskip("numpy", reason="needs the extra sentences")
safetensors = pytest.importorskip("safetensors.numpy", reason="needs the extra sentences")

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "oslo", "rome", "is", "far", "from", "the", "sea", "a")
WIDTH, INNER, LAYERS, HEADS, POSITIONS = 16, 32, 2, 4, 64


def write_model(folder: Path, **config: object) -> Path:
    """A BERT of two layers with weights by chance, and a tokenizer of a few words."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    folder.mkdir(parents=True, exist_ok=True)
    shape = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": WIDTH,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "max_position_embeddings": POSITIONS,
        "layer_norm_eps": 1e-12,
    }
    (folder / "config.json").write_text(json.dumps(shape | config))
    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    safetensors.save_file(_weights(), folder / "model.safetensors")
    return folder


def _weights() -> dict[str, object]:
    chance = np.random.default_rng(7)

    def some(*shape: int) -> object:
        return chance.normal(0, 0.3, shape).astype(np.float32)

    weights = {
        "embeddings.word_embeddings.weight": some(len(WORDS), WIDTH),
        "embeddings.position_embeddings.weight": some(POSITIONS, WIDTH),
        "embeddings.token_type_embeddings.weight": some(2, WIDTH),
        "embeddings.position_ids": np.arange(POSITIONS)[None],
    }
    dense = {
        "attention.self.query": (WIDTH, WIDTH),
        "attention.self.key": (WIDTH, WIDTH),
        "attention.self.value": (WIDTH, WIDTH),
        "attention.output.dense": (WIDTH, WIDTH),
        "intermediate.dense": (INNER, WIDTH),
        "output.dense": (WIDTH, INNER),
    }
    norms = ["embeddings.LayerNorm"]
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        for name, (out, into) in dense.items():
            weights[f"{layer}.{name}.weight"] = some(out, into)
            weights[f"{layer}.{name}.bias"] = some(out)
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    for name in norms:
        weights[f"{name}.weight"] = np.ones(WIDTH, np.float32)
        weights[f"{name}.bias"] = np.zeros(WIDTH, np.float32)
    return weights


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A folder with a small model."""
    return write_model(tmp_path / "model")
