"""The settings of the connection to Redis."""

from __future__ import annotations

from typing import Annotated

import msgspec

from famulus import Secret, Settings, setting


class RedisSettings(Settings, frozen=True, kw_only=True):
    """Table `[plugins.redis]`."""

    url: Annotated[
        Secret | None,
        setting(
            why="Where Redis or Valkey is, such as redis://host:6379/0; `rediss://` for TLS. "
            "Without it the plugin is off."
        ),
    ] = None
    prefix: Annotated[
        str, setting(why="What all keys begin with, so that several servers can share a Redis.")
    ] = "famulus:"
    replicas: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(
            why="Processes that share the limits: while Redis is away, each keeps to one part of "
            "so many."
        ),
    ] = 1
    timeout_s: Annotated[
        float,
        msgspec.Meta(gt=0),
        setting(why="Seconds that Redis has to answer before it counts as away."),
    ] = 0.5
    retry_s: Annotated[
        float,
        msgspec.Meta(gt=0),
        setting(why="Seconds that a Redis that is away is not asked again: nobody shall wait."),
    ] = 1.0
    connections_max: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(why="Connections of one process; who finds none free waits, at most `timeout_s`."),
    ] = 32
    local_keys_max: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(why="Limits that a process counts by itself while Redis is away."),
    ] = 100_000
