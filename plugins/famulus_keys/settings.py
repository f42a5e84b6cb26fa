"""The settings of API keys."""

from __future__ import annotations

from typing import Annotated

import msgspec

from famulus import Secret, Settings, setting


class KeysSettings(Settings, frozen=True):
    """Table `[plugins.keys]`."""

    api_key: Annotated[
        Secret | None,
        setting(
            env="FAMULUS_API_KEY",
            why="A key of any form that is valid beside the stored ones, for deployments.",
        ),
    ] = None
    admin_api_key: Annotated[
        Secret | None,
        setting(
            env="FAMULUS_ADMIN_KEY",
            why="An admin key of any form, which makes projects and keys and does nothing else.",
        ),
    ] = None
    pepper: Annotated[
        Secret | None,
        setting(
            why="The secret that stored keys are hashed with, the same for all servers that share "
            "a database; else the file `pepper` in the data folder, made at the first start."
        ),
    ] = None
    first_key: Annotated[
        bool, setting(why="Make a key, and print it once, at a start that finds none.")
    ] = True
    cache_s: Annotated[
        float,
        msgspec.Meta(ge=0),
        setting(why="Seconds a key is taken for valid before it is looked up again."),
    ] = 1.0
    grace_s: Annotated[
        int,
        msgspec.Meta(ge=0),
        setting(why="Seconds for which a key stays valid beside the one that it is rotated for."),
    ] = 86_400
    cache_keys_max: Annotated[int, msgspec.Meta(ge=1), setting(why="Keys in that cache.")] = 10_000
