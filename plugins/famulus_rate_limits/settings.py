"""The settings of rate limits. Without any, only failed logins are limited."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from famulus import Settings, setting

PerMinute = Annotated[int, msgspec.Meta(ge=1)]
AtOnce = Annotated[int, msgspec.Meta(ge=1)]


class Allowance(Settings, frozen=True, kw_only=True):
    """What one key, project or model may use in a minute; None is without limit."""

    requests_per_minute: Annotated[
        PerMinute | None, setting(why="Requests in a minute; no limit if not given.")
    ] = None
    tokens_per_minute: Annotated[PerMinute | None, setting(why="Tokens in a minute, likewise.")] = (
        None
    )
    runs_at_once_max: Annotated[
        AtOnce | None, setting(why="Runs that are at work at once; others wait, queued.")
    ] = None
    answers_at_once_max: Annotated[
        AtOnce | None,
        setting(why="Answers of chat completions that are on their way at once; others get 429."),
    ] = None


class RateLimitsSettings(Settings, frozen=True, kw_only=True):
    """Table `[plugins.rate_limits]`."""

    requests_per_minute: Annotated[
        PerMinute | None, setting(why="Requests of each key in a minute; no limit if not given.")
    ] = None
    tokens_per_minute: Annotated[
        PerMinute | None,
        setting(why="Tokens that each key may have models read and write in a minute."),
    ] = None
    project_requests_per_minute: Annotated[
        PerMinute | None, setting(why="Requests of all keys of a project in a minute.")
    ] = None
    project_tokens_per_minute: Annotated[
        PerMinute | None, setting(why="Tokens of all keys of a project in a minute.")
    ] = None
    model_requests_per_minute: Annotated[
        PerMinute | None,
        setting(
            why="Requests of a project to one model in a minute; a run is one each time that it "
            "asks its model."
        ),
    ] = None
    model_tokens_per_minute: Annotated[
        PerMinute | None,
        setting(why="Tokens of a project at one model in a minute, those of runs among them."),
    ] = None
    runs_at_once_max: Annotated[
        AtOnce | None,
        setting(
            why="Runs of each key that are at work at once, in all processes; others stay `queued` "
            "until one of them ends or waits for its client."
        ),
    ] = None
    project_runs_at_once_max: Annotated[
        AtOnce | None, setting(why="Runs of a project that are at work at once, likewise.")
    ] = None
    model_runs_at_once_max: Annotated[
        AtOnce | None,
        setting(why="Runs of a project with one model that are at work at once, likewise."),
    ] = None
    full: Annotated[
        Literal["queue", "refuse"],
        setting(
            why="What becomes of a run that is created while its key, its project or its model has "
            "no room: it is made and waits, or is answered 429."
        ),
    ] = "queue"
    answers_at_once_max: Annotated[
        AtOnce | None,
        setting(
            why="Answers of chat completions, completions and embeddings of each key that are on "
            "their way at once; further ones get 429."
        ),
    ] = None
    project_answers_at_once_max: Annotated[
        AtOnce | None, setting(why="Such answers of a project at once.")
    ] = None
    model_answers_at_once_max: Annotated[
        AtOnce | None, setting(why="Such answers of a project by one model at once.")
    ] = None
    lease_s: Annotated[
        float,
        msgspec.Meta(ge=1),
        setting(
            why="Seconds after which the place of a run or an answer is free again whose process "
            "died; it is renewed three times as often."
        ),
    ] = 15.0
    keys: Annotated[
        dict[str, Allowance],
        setting(why="Keys, by id, that have limits of their own in place of those of each key."),
    ] = {}
    projects: Annotated[
        dict[str, Allowance], setting(why="Projects that have limits of their own, likewise.")
    ] = {}
    models: Annotated[
        dict[str, Allowance], setting(why="Models that have limits of their own, likewise.")
    ] = {}
    answer_tokens: Annotated[
        PerMinute,
        setting(why="Tokens reserved for an answer whose length the request does not limit."),
    ] = 500
    run_tokens: Annotated[
        PerMinute,
        setting(
            why="Tokens reserved for a run beside what its request brings, until it is over and "
            "what it used is known; those of `max_completion_tokens` where that is given."
        ),
    ] = 2_000
    failed_logins_per_minute: Annotated[
        int,
        msgspec.Meta(ge=0),
        setting(why="Wrong keys that one address may send in a minute before 429; 0 is no limit."),
    ] = 20
    addresses_max: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(why="Addresses whose wrong keys are counted at once; each takes some 300 bytes."),
    ] = 10_000
