"""Where metrics are read, and how many things they tell apart."""

from __future__ import annotations

from typing import Annotated

import msgspec

from famulus import Settings, setting


class MetricsSettings(Settings, frozen=True, kw_only=True):
    """Table `[plugins.metrics]`."""

    with_key: Annotated[
        bool,
        setting(
            why="Whether `/metrics` is served on the server's own port, to admin keys and those "
            "with the scope `metrics.read`."
        ),
    ] = True
    port: Annotated[
        Annotated[int, msgspec.Meta(ge=0, le=65_535)] | None,
        setting(why="A further port with `/metrics` alone, read without a key; 0 for any."),
    ] = None
    host: Annotated[str, setting(why="Address of that port: whoever can reach it can read it.")] = (
        "127.0.0.1"
    )
    hosts: Annotated[
        list[str],
        setting(
            why="Names that it is read by there, as `famulus.example.com`, or `*` for any. If not "
            "given: any, but where it listens on this machine only, names of that."
        ),
    ] = []
    connections_max: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(why="Open connections to that port; further ones are answered 503."),
    ] = 16
    header_s: Annotated[
        float,
        msgspec.Meta(gt=0),
        setting(why="Seconds in which the headers of a reader there must arrive."),
    ] = 10.0
    send_s: Annotated[
        float,
        msgspec.Meta(gt=0),
        setting(why="Seconds a reader there may take for one send; then it is dropped."),
    ] = 30.0
    models_max: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(why="Models that are told apart, each by a dozen series; the rest are `other`."),
    ] = 50
    lag_pause_s: Annotated[
        float,
        msgspec.Meta(gt=0),
        setting(why="Seconds between two looks at how late the event loop is."),
    ] = 0.25
