"""Texts to vectors by a BERT; everything in here is slow, and runs in a thread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from famulus_sentences.bert import Bert
from famulus_sentences.weights import check_steps
from famulus_sentences.windows import in_windows

if TYPE_CHECKING:
    from famulus_sentences.bert import Floats


class Encoder:
    """One model, loaded."""

    def __init__(self, folder: Path, *, window_tokens: int, windows_max: int) -> None:
        check_steps(folder)
        self._bert = Bert(folder)
        vocabulary = self._bert.tokenizer
        first, last = vocabulary.token_to_id("[CLS]"), vocabulary.token_to_id("[SEP]")
        if first is None or last is None:
            raise ValueError(f"the tokenizer in {folder} has no [CLS] and [SEP]")
        self._ends = (int(first), int(last))
        self._windows_max = windows_max
        self._size = min(window_tokens, self._bert.config.max_position_embeddings) - 2

    @property
    def dimensions(self) -> int:
        """Numbers in a vector."""
        return self._bert.config.hidden_size

    def rows(self, texts: Sequence[str]) -> list[list[list[int]]]:
        """The windows of each text, as ids of tokens with the special ones around them."""
        first, last = self._ends
        found = self._bert.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [
            [
                [first, *window, last]
                for window in in_windows(one.ids, self._size, self._windows_max)
            ]
            for one in found
        ]

    def means(self, rows: Sequence[Sequence[int]]) -> Floats:
        """One vector of length 1 a row."""
        return self._bert.means(rows)

    def whole(
        self, texts: Sequence[Sequence[Sequence[int]]], means: Sequence[Floats]
    ) -> list[list[float]]:
        """One vector of length 1 a text, from those of all windows in order, each by its length."""
        vectors: list[list[float]] = []
        start = 0
        for rows in texts:
            parts = means[start : start + len(rows)]
            start += len(rows)
            if len(rows) == 1:
                vectors.append(parts[0].tolist())
                continue
            weights = np.array([len(row) for row in rows], np.float32)
            mixed = weights @ np.stack(parts)
            vectors.append((mixed / max(float(np.linalg.norm(mixed)), 1e-12)).tolist())
        return vectors
