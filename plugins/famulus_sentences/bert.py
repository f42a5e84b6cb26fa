"""A BERT encoder in numpy: the numbers of sentence-transformers, without torch.

For a model this small, what torch and transformers would do, and be hundreds of megabytes for, are
a few products of matrices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Integers = NDArray[np.int64]

_MASKED = np.float32(-1e9)


class BertConfig(msgspec.Struct, frozen=True):
    """What `config.json` says of the network's shape."""

    hidden_size: int
    num_attention_heads: int
    num_hidden_layers: int
    model_type: str = "bert"
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    max_position_embeddings: int = 512
    position_embedding_type: str = "absolute"


class Bert:
    """Tokens in, the mean of their last hidden states out."""

    def __init__(self, folder: Path) -> None:
        config = msgspec.json.decode((folder / "config.json").read_bytes(), type=BertConfig)
        if (config.model_type, config.hidden_act) != ("bert", "gelu"):
            raise ValueError(
                f"{folder} holds a model of type {config.model_type} with {config.hidden_act}; "
                "only BERT with gelu is known here"
            )
        self.config = config
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        weights = load_file(folder / "model.safetensors")
        self._weights: Mapping[str, Floats] = {
            name.removeprefix("bert."): value.astype(np.float32, copy=False)
            for name, value in weights.items()
            if value.dtype.kind == "f"
        }
        # Positions and the one type of token are added to every text alike.
        self._fixed: Floats = (
            self._weights["embeddings.position_embeddings.weight"]
            + self._weights["embeddings.token_type_embeddings.weight"][0]
        )

    def means(self, rows: Sequence[Sequence[int]]) -> Floats:
        """One vector of length 1 a row of token ids, the special ones included."""
        lengths = np.array([len(row) for row in rows])
        ids = np.zeros((len(rows), int(lengths.max())), np.int64)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = row
        present = np.arange(ids.shape[1]) < lengths[:, None]
        states = self._encoded(ids, present)
        sums = np.einsum("rth,rt->rh", states, present.astype(np.float32))
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        means: Floats = sums / np.maximum(norms, np.float32(1e-12))
        return means

    def _encoded(self, ids: Integers, present: NDArray[np.bool_]) -> Floats:
        states = self._weights["embeddings.word_embeddings.weight"][ids]
        states = self._normed(states + self._fixed[: ids.shape[1]], "embeddings.LayerNorm")
        mask = np.where(present, np.float32(0), _MASKED)[:, None, None, :]
        for number in range(self.config.num_hidden_layers):
            layer = f"encoder.layer.{number}"
            heard = self._attended(states, mask, f"{layer}.attention.self")
            heard = self._linear(heard, f"{layer}.attention.output.dense")
            states = self._normed(states + heard, f"{layer}.attention.output.LayerNorm")
            inner = _gelu(self._linear(states, f"{layer}.intermediate.dense"))
            inner = self._linear(inner, f"{layer}.output.dense")
            states = self._normed(states + inner, f"{layer}.output.LayerNorm")
        return states

    def _attended(self, states: Floats, mask: Floats, name: str) -> Floats:
        rows, tokens, width = states.shape
        heads = self.config.num_attention_heads

        def split(part: str) -> Floats:
            whole = self._linear(states, f"{name}.{part}")
            return whole.reshape(rows, tokens, heads, width // heads).transpose(0, 2, 1, 3)

        scores = split("query") @ split("key").transpose(0, 1, 3, 2)
        scores *= np.float32((width // heads) ** -0.5)
        scores += mask
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed: Any = (scores @ split("value")).transpose(0, 2, 1, 3)
        return np.ascontiguousarray(mixed).reshape(rows, tokens, width)

    def _linear(self, states: Floats, name: str) -> Floats:
        # As one product of two matrices: numpy multiplies stacks of them one after the other.
        flat = states.reshape(-1, states.shape[-1]) @ self._weights[f"{name}.weight"].T
        flat += self._weights[f"{name}.bias"]
        return flat.reshape(*states.shape[:-1], -1)

    def _normed(self, states: Floats, name: str) -> Floats:
        states = states - states.mean(axis=-1, keepdims=True)
        spread = np.einsum("...h,...h->...", states, states)[..., None] / states.shape[-1]
        states /= np.sqrt(spread + np.float32(self.config.layer_norm_eps))
        states *= self._weights[f"{name}.weight"]
        states += self._weights[f"{name}.bias"]
        return states


def _gelu(values: Floats) -> Floats:
    """x times the normal distribution function of x, by a rational form of erf, exact to 2e-7."""
    scaled = np.abs(values) * np.float32(0.7071067811865476)
    t = 1 / (1 + np.float32(0.3275911) * scaled)
    terms = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
    series = np.zeros_like(values)
    for term in terms:
        series += np.float32(term)
        series *= t
    # The half of the complementary error function; for negative values it is the answer itself.
    tail = np.float32(0.5) * series * np.exp(-scaled * scaled)
    share: Floats = np.where(values < 0, tail, 1 - tail)
    return values * share
