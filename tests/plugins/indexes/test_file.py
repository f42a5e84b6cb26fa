"""What a store's file keeps: words are ranked by those that tell something, in good time."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from famulus.log import make_log
from famulus_indexes import file as index_file
from famulus_indexes.file import Part, StoreFile
from famulus_schemas.retrieval import Entry


@pytest.fixture
def file(tmp_path: Path) -> StoreFile:
    log = make_log(stream=io.StringIO())
    return StoreFile(tmp_path / "s.db", store=("p", "s"), dimensions=2, log=log)


def put(file: StoreFile, texts: list[str]) -> None:
    entries = [Entry(number=at, text=text, vector=b"") for at, text in enumerate(texts)]
    file.write([Part("a", entries, is_last=True)])


def found(file: StoreFile, query: str) -> list[int]:
    hits = file.matching(query, words_max=64, among=None, keep=lambda _: True, limit=100)
    return [number for _, number, _ in hits]


def test_common_words_are_passed_over_where_there_are_rare_ones(
    file: StoreFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_file, "RANKED_MAX", 10)
    put(file, ["the apple", *["the pear"] * 10, "the quince", "an apple"])
    assert set(found(file, "the apple")) == {0, 12}
    assert len(found(file, "the")) == 10
    assert found(file, "the zebra quince") == [11]
    assert len(found(file, "the zebra")) == 10
    assert set(found(file, "the pear")) == set(range(1, 11))
    put_more = [Entry(number=at, text="zebra", vector=b"") for at in range(2)]
    file.write([Part("b", put_more, is_last=True)])
    assert len(found(file, "the zebra")) == 2
    file.close()
