"""What an operator may set about the database."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from famulus import Secret
from famulus.fanout import FanoutSettings


class PostgresSettings(FanoutSettings, frozen=True, kw_only=True):
    """Where the database is, how much of it is used, and how long anything may take.

    The limits of listeners, which every provider of events has, come first.
    """

    dsn: Annotated[
        Secret | None,
        Meta(description="postgresql://user:password@host:port/database; without it, off."),
    ] = None
    schema: Annotated[
        str,
        Meta(
            pattern=r"^[a-z_][a-z0-9_]{0,62}\Z",
            description="Keeps our tables apart from others in the same database.",
        ),
    ] = "famulus"
    pool_min: Annotated[int, Meta(ge=0, description="Connections for reads kept open.")] = 1
    pool_max: Annotated[
        int,
        Meta(ge=1, description="Connections for reads; two more are for writing and for events."),
    ] = 8
    pool_idle_s: Annotated[
        float,
        Meta(gt=0, description="An idle connection is not used after this: it may be dead unseen."),
    ] = 300.0
    reads_waiting_max: Annotated[
        int, Meta(ge=1, description="Reads that may wait for a connection; more are refused.")
    ] = 4096
    units_per_batch_max: Annotated[
        int, Meta(ge=1, description="Units in one transaction; more gain little, and wait longer.")
    ] = 256
    bytes_per_batch_max: Annotated[
        int, Meta(ge=1, description="Bodies in one transaction; a larger unit goes alone.")
    ] = 8_388_608
    locks_per_batch_max: Annotated[
        int,
        Meta(
            ge=1,
            description="Locks of one transaction; a batch that needs more locks out all other "
            "writers. The server holds about 64 for each connection that it allows.",
        ),
    ] = 512
    units_waiting_max: Annotated[
        int, Meta(ge=1, description="Units that may wait; further ones are refused.")
    ] = 4096
    attempts_max: Annotated[
        int, Meta(ge=1, description="Tries of one batch when the connection or a lock is lost.")
    ] = 4
    retry_first_s: Annotated[
        float, Meta(gt=0, description="Pause before the second try; it doubles each time.")
    ] = 0.05
    retry_max_s: Annotated[
        float, Meta(gt=0, description="Longest pause between tries to connect again.")
    ] = 5.0
    connect_s: Annotated[float, Meta(gt=0, description="Opening one connection.")] = 5.0
    statement_s: Annotated[
        float, Meta(gt=0, description="One statement, the wait for locks included.")
    ] = 15.0
    transaction_idle_s: Annotated[
        float,
        Meta(gt=0, description="After this the server ends the transaction of a frozen process."),
    ] = 10.0
    outcome_s: Annotated[
        float,
        Meta(gt=0, description="Finding out whether a commit whose answer was lost happened."),
    ] = 30.0
    migrate_s: Annotated[
        float, Meta(gt=0, description="One migration or back-fill, the wait for others included.")
    ] = 600.0
    notify_pause_s: Annotated[
        float,
        Meta(
            ge=0,
            description="Pause between two tellings of events to other processes; what comes "
            "meanwhile goes together.",
        ),
    ] = 0.01
    notify_waiting_bytes_max: Annotated[
        int,
        Meta(
            ge=1,
            description="Events that may wait to be told to other processes; over it, listeners "
            "there must read them from the records.",
        ),
    ] = 4_194_304
    interest_s: Annotated[
        float,
        Meta(
            gt=0,
            description="How long others remember that this process listens to a topic. A third "
            "of it is the time until a quiet topic of theirs is looked at.",
        ),
    ] = 15.0
    first_look_s: Annotated[
        float,
        Meta(
            gt=0,
            description="The time until a quiet topic is looked at for the first time: it may "
            "have been told of before others knew that somebody listens.",
        ),
    ] = 0.25
    topics_elsewhere_max: Annotated[
        int,
        Meta(
            ge=1,
            description="Topics that other processes listen to; over it, those that were asked "
            "for longest ago are only looked at.",
        ),
    ] = 100_000
    line_beat_s: Annotated[
        float,
        Meta(gt=0, description="Silence after which the session that hears events is tried."),
    ] = 10.0
    close_s: Annotated[
        float, Meta(gt=0, description="Writing what waits, and closing, when the plugin stops.")
    ] = 5.0
