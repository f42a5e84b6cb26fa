"""The settings of the audit log."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from famulus import Settings, setting

Count = Annotated[int, msgspec.Meta(ge=1)]


class AuditSettings(Settings, frozen=True, kw_only=True):
    """Table `[plugins.audit]`."""

    changes: Annotated[
        Literal["all", "administration"],
        setting(
            why="Which changes are written down: all, or only those of projects, keys and service "
            "accounts, where each message costing some more of a commit is too much."
        ),
    ] = "all"
    refusals: Annotated[
        bool, setting(why="Whether wrong keys (401) and what a key may not do (403) are, too.")
    ] = True
    rate_limits: Annotated[
        bool,
        setting(why="Whether refusals for a rate limit are; a busy client meets many in an hour."),
    ] = False
    reads: Annotated[
        bool,
        setting(
            why="Whether reading is: clients poll runs several times a second, which would be "
            "nearly all of the log, and a write for each."
        ),
    ] = False
    refusals_per_minute: Annotated[
        Count,
        setting(
            why="Refusals of one kind and address (of IPv6 its /64) in a minute that are written "
            "one by one; further ones are counted, and told by one event."
        ),
    ] = 10
    refusals_per_minute_max: Annotated[
        Count,
        setting(why="The same of all addresses together, so that no flood fills the disk."),
    ] = 600
    addresses_max: Annotated[
        Count, setting(why="Addresses that are counted at once; each takes some 500 bytes.")
    ] = 10_000
    waiting_max: Annotated[
        Count, setting(why="Refusals and reads that may wait to be written; further ones are lost.")
    ] = 10_000
    flush_s: Annotated[
        float,
        msgspec.Meta(gt=0),
        setting(why="Seconds for which refusals and reads are gathered for one commit."),
    ] = 1.0
    batch_max: Annotated[Count, setting(why="Refusals and reads of one commit.")] = 200
    user_agent_characters_max: Annotated[
        Count, setting(why="Of a client's description of itself; the rest is cut off.")
    ] = 256
    combinations_max: Annotated[
        Count,
        setting(
            why="Combinations of projects, types, actors and resources that one request may ask "
            "for; each is looked up by itself."
        ),
    ] = 64
    scanned_max: Annotated[
        int,
        msgspec.Meta(ge=200),
        setting(why="Events that one request may have looked at."),
    ] = 50_000
