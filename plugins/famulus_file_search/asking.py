"""What is asked for: by the model in a call, and by the assistant in the tool's definition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from famulus_schemas.inference import OfferedFunction
from famulus_schemas.retrieval import Ranking
from famulus_schemas.steps import FileSearchCallRankingOptions

NAME = "file_search"
RANKER: Final = "default_2024_08_21"
"""The one that `auto` stands for."""


class CannotRead(Exception):
    """The call's arguments ask for nothing; says what they must be."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What an assistant wants of its searches."""

    limit: int
    ranking: Ranking

    @property
    def shown(self) -> FileSearchCallRankingOptions:
        """The ranking, as steps show it."""
        return FileSearchCallRankingOptions(
            ranker=RANKER, score_threshold=self.ranking.score_threshold
        )


def function(queries_max: int) -> OfferedFunction:
    """The function that models are offered."""
    queries = {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "maxItems": queries_max,
        "description": "What to look for, each in a few words; several at once look further.",
    }
    return OfferedFunction(
        name=NAME,
        description="Finds passages in the attached files, by what they mean and by their words.",
        parameters={
            "type": "object",
            "properties": {"queries": queries},
            "required": ["queries"],
            "additionalProperties": False,
        },
    )


def wanted_by(definition: Mapping[str, Any], *, limit: int) -> Wanted:
    """What the definition of the tool says, and what counts where it says nothing."""
    options = definition.get(NAME) or {}
    ranking = options.get("ranking_options") or {}
    return Wanted(
        limit=options.get("max_num_results") or limit,
        ranking=Ranking(
            ranker=ranking.get("ranker", "auto"),
            score_threshold=ranking.get("score_threshold", 0.0),
        ),
    )


def queries_in(arguments: str, *, queries_max: int, chars_max: int) -> Sequence[str]:
    """The queries of a call, each once. One alone may come as a text. Raises CannotRead."""
    try:
        read = msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        read = None
    given = read.get("queries", read.get("query")) if isinstance(read, dict) else read
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list):
        texts = []
    queries = [text.strip()[:chars_max] for text in texts if isinstance(text, str) and text.strip()]
    if not queries:
        raise CannotRead(f'{NAME} needs {{"queries": [...]}} with 1 to {queries_max} texts.')
    return list(dict.fromkeys(queries))[:queries_max]
