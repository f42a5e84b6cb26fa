"""Which model embeds, and how much is asked of it at once."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from famulus import Settings, setting


class Prefixes(Settings, frozen=True, kw_only=True):
    """What a model wants to have before each text; many have been trained with such words."""

    query: Annotated[str, Meta(description="Before what is looked for.")] = ""
    passage: Annotated[str, Meta(description="Before what can be found.")] = ""


class EmbeddingsSettings(Settings, frozen=True, kw_only=True):
    """Settings of the plugin `embeddings`."""

    default_model: Annotated[
        str,
        Meta(min_length=1),
        setting(
            why="The model of new vector stores, by its own name and no alias: a store keeps the "
            "name it began with. The default needs no weights, and goes by words."
        ),
    ] = "famulus-lexical-1"
    prefixes: Annotated[
        dict[str, Prefixes],
        setting(why="By model, what it wants before each text, such as `query: `."),
    ] = {}
    texts_per_request_max: Annotated[
        int,
        Meta(ge=1, le=2048),
        setting(why="Texts that a model server is sent at once; OpenAI's take 2048."),
    ] = 64
    characters_per_request_max: Annotated[
        int,
        Meta(ge=1),
        setting(why="Characters that it is sent at once; one long text may be more."),
    ] = 200_000
    text_characters_max: Annotated[
        int,
        Meta(ge=1),
        setting(why="Longer texts are cut before they are embedded: models refuse or cut them."),
    ] = 30_000
    requests_at_once_max: Annotated[
        int,
        Meta(ge=1),
        setting(why="Requests for passages at once, so that one large file leaves room for chats."),
    ] = 4
    queries_at_once_max: Annotated[
        int,
        Meta(ge=1),
        setting(why="Requests for queries at once; passages never hold them up."),
    ] = 16
    calls_waiting_max: Annotated[
        int,
        Meta(ge=1),
        setting(why="Calls that may wait for their turn; more are told that the server is busy."),
    ] = 1_000
