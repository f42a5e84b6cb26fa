"""Variables that look like ours and are not: a misspelt setting must not be ignored in silence.

`FAMULUS_<TABLE>__<KEY>` can only be a setting, and is decoded as one. What is left are the names
without that form. One that is nearly a name of ours is taken for it, misspelt, and refused.
One that is like none is somebody else's (other programs are called famulus-something too), and
is only told.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from famulus import failpoints
from famulus.config import Config
from famulus.mistakes import ConfigError
from famulus.server_settings import ServerSettings
from famulus.setting_fields import settings_fields

PREFIX = "FAMULUS_"
CONFIG = "FAMULUS_CONFIG"

_NEAR = 0.7
"""Of what difflib calls alike; two letters of four that are swapped make 0.75."""

_OF_A_SERVICE = re.compile(
    r"_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$"
)
_OF_A_LINK = ("tcp://", "udp://", "sctp://")
"""What Kubernetes and Docker set beside a service whose name begins with famulus."""


def strange_variables(
    config: Config, tables: Mapping[str, type[msgspec.Struct] | None]
) -> list[str]:
    """Names that mean nothing to us. `tables` are the plugins' settings, where they are known.

    Raises ConfigError for one that is nearly a name that would.
    """
    own = {CONFIG, failpoints.VARIABLE, *_referred(config)}
    further = set()
    for table, settings_type in {"server": ServerSettings, **tables}.items():
        for field, _, variable, _ in settings_fields(settings_type) if settings_type else ():
            further.add(f"{PREFIX}{table}__{field.name}".upper())
            if variable:
                own.add(variable)
    strange = [name for name in _judged(config.environment) if name not in own]
    mistakes = [
        f"{name}: there is no such variable; did you mean {near}?"
        for name in strange
        if (near := _nearest(name, own | further))
    ]
    if mistakes:
        raise ConfigError(*mistakes)
    return strange


def _judged(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        is_ours = name.startswith(PREFIX) and "__" not in name
        if is_ours and not _OF_A_SERVICE.search(name) and not value.startswith(_OF_A_LINK):
            yield name


def _nearest(name: str, known: Iterable[str]) -> str | None:
    # Without what all have in common, or any two would be alike.
    rests = {each.removeprefix(PREFIX): each for each in sorted(known)}
    near = difflib.get_close_matches(name.removeprefix(PREFIX), rests, 1, _NEAR)
    return rests[near[0]] if near else None


def _referred(config: Config) -> Iterator[str]:
    """Variables that the configuration itself names, as `env:NAME`."""
    for plugin in config.plugins.values():
        yield from _references([plugin.values, plugin.flags])
    yield from _references(list(config.environment.values()))


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value.startswith("env:"):
        yield value.removeprefix("env:")
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)
