"""Cites the passages that searches found, where the model did not."""

from __future__ import annotations

from collections.abc import Sequence

from famulus_file_search.attribution import Evidence
from famulus_schemas.tooling import Mark, Source


class PassageCiter:
    """As Citer, over the passages of one run."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._marks = [source.mark for source in sources]
        self._evidence = Evidence([source.text for source in sources])

    def cite(self, sentence: str) -> Sequence[Mark]:
        """As Citer.cite."""
        return [self._marks[number] for number in self._evidence.supports(sentence)]
