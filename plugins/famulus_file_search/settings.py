"""The settings of file search."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from famulus import Settings, setting

Positive = msgspec.Meta(ge=1)


class FileSearchSettings(Settings, frozen=True):
    """Table `[plugins.file_search]`."""

    citations: Annotated[
        Literal["always", "written"],
        setting(
            why="Whether sentences that a passage supports are cited also where the model did not, "
            "or only as it wrote."
        ),
    ] = "always"
    queries_max: Annotated[int, Positive, setting(why="Queries of one search.")] = 5
    query_chars_max: Annotated[
        int, Positive, setting(why="Length of a query; the rest is cut off.")
    ] = 2_000
    results_max: Annotated[
        int,
        msgspec.Meta(ge=1, le=50),
        setting(why="Passages found, if `max_num_results` is not given."),
    ] = 20
    tokens_max: Annotated[
        int, Positive, setting(why="Tokens of passages that a model is told by one search.")
    ] = 16_000
    context_share: Annotated[
        float,
        msgspec.Meta(gt=0, le=1),
        setting(why="The part of a model's context that one search may fill, if that is less."),
    ] = 0.4
    context_tokens_default: Annotated[
        int, Positive, setting(why="Context taken for a model whose backend does not say.")
    ] = 8_192
    wait_s: Annotated[
        float,
        msgspec.Meta(ge=0),
        setting(why="Seconds to wait for files that are still being read; OpenAI waited 60."),
    ] = 60.0
