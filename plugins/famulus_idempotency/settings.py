"""How long answers are kept for a repeated request."""

from __future__ import annotations

from typing import Annotated

from famulus import Settings, setting


class IdempotencySettings(Settings, frozen=True, kw_only=True):
    """Settings of famulus_idempotency."""

    kept_s: Annotated[int, setting(why="Seconds for which a key stands for its first request.")] = (
        86_400
    )
    wait_s: Annotated[
        float, setting(why="Seconds that a repeated request waits for the first one's answer.")
    ] = 30.0
    answer_bytes_max: Annotated[
        int, setting(why="Size of an answer that is kept; a larger one is made again.")
    ] = 1_048_576
    sweep_s: Annotated[float, setting(why="Seconds between looking for keys that are over.")] = (
        600.0
    )
