"""The settings of usage and cost. Without prices everything is counted and costs nothing."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from famulus import Settings, setting

PerMillion = Annotated[float, msgspec.Meta(ge=0, le=1_000_000)]
Amount = Annotated[float, msgspec.Meta(ge=0, le=1_000_000_000)]
Span: TypeAlias = Literal["day", "month"]


class Price(Settings, frozen=True, kw_only=True):
    """What a model costs, per million tokens."""

    input: Annotated[PerMillion, setting(why="Of a million tokens that it reads.")] = 0.0
    cached_input: Annotated[
        PerMillion | None,
        setting(why="Of a million that its server had read before; as `input` if not given."),
    ] = None
    output: Annotated[PerMillion, setting(why="Of a million tokens that it writes.")] = 0.0


class Budgets(Settings, frozen=True, kw_only=True):
    """How much may be spent in a day or month of the calendar (UTC)."""

    per: Annotated[Span, setting(why="The time in which it may be spent: `day` or `month`.")] = (
        "month"
    )
    key: Annotated[
        Amount | None, setting(why="What each key may spend; no limit if not given.")
    ] = None
    project: Annotated[Amount | None, setting(why="What each project may spend.")] = None
    keys: Annotated[
        dict[str, Amount],
        setting(why="Keys, by id, that have a budget of their own in place of that of each key."),
    ] = {}
    projects: Annotated[
        dict[str, Amount], setting(why="Projects that have a budget of their own, likewise.")
    ] = {}


class UsageSettings(Settings, frozen=True, kw_only=True):
    """Table `[plugins.usage]`."""

    currency: Annotated[
        str,
        msgspec.Meta(pattern="^[a-z]{3}$"),
        setting(why="What prices and budgets are in, as ISO 4217 has it in small letters."),
    ] = "usd"
    prices: Annotated[
        dict[str, Price],
        setting(
            why="Models, as clients name them or else as their servers do; others cost nothing."
        ),
    ] = {}
    budgets: Annotated[Budgets, setting(why="What keys and projects may spend.")] = Budgets()
    write_s: Annotated[
        float,
        msgspec.Meta(gt=0),
        setting(why="Seconds between writing down what was noted, and adding up what was written."),
    ] = 1.0
    refresh_s: Annotated[
        float,
        msgspec.Meta(ge=0),
        setting(why="Seconds for which what others have spent may be overlooked."),
    ] = 1.0
    noted_max: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(
            why="Sums (by minute, key and model) that wait to be written; what comes then is lost."
        ),
    ] = 10_000
    events_max: Annotated[
        int, msgspec.Meta(ge=1, le=10_000), setting(why="Events added up in one commit.")
    ] = 500
    levels_s: Annotated[
        float,
        msgspec.Meta(gt=0),
        setting(why="Seconds between measuring how much vector stores hold."),
    ] = 60.0
    adopt_s: Annotated[
        float,
        msgspec.Meta(gt=0),
        setting(why="Seconds after which others add up what a process has left behind."),
    ] = 60.0
    minutes_kept_hours: Annotated[
        int,
        msgspec.Meta(ge=25),
        setting(why="Hours for which usage can be asked for by the minute."),
    ] = 48
    hours_kept_days: Annotated[
        int, msgspec.Meta(ge=8), setting(why="Days for which it can be by the hour.")
    ] = 92
    answer_rows_max: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(why="Rows read for one question; more are refused, and a shorter time is asked."),
    ] = 200_000
