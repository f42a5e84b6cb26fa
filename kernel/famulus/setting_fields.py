"""What a settings struct says of its settings: their reasons, variables and flags.

A setting may name a variable and a flag of its own, `Annotated[..., setting(env="FAMULUS_X",
flag="--x", why="...")]`; all others have the variable that is named after them.
"""

from __future__ import annotations

import typing
from functools import lru_cache
from typing import Annotated, Any

import msgspec

SETTINGS_TYPES_KEPT_MAX = 256
"""More than a server has plugins."""


def setting(*, env: str | None = None, flag: str | None = None, why: str = "") -> msgspec.Meta:
    """What `Annotated` a setting with: its own variable and flag, and the reason it is there."""
    extra = {key: value for key, value in (("env", env), ("flag", flag)) if value}
    return msgspec.Meta(description=why or None, extra=extra)


def variable_of(table: str, key: str) -> str:
    """The variable that is named after a setting."""
    return f"FAMULUS_{table}__{key}".upper()


Described = tuple[msgspec.structs.FieldInfo, str, str | None, str | None]


# Kept, since a start asks for each type's several times, and annotations are slow to read.
@lru_cache(maxsize=SETTINGS_TYPES_KEPT_MAX)
def settings_fields(settings_type: type[msgspec.Struct]) -> tuple[Described, ...]:
    """Each field with its reason, its own variable and its own flag."""
    return tuple(map(_described, msgspec.structs.fields(settings_type)))


def _described(field: msgspec.structs.FieldInfo) -> Described:
    why, env, flag = "", None, None
    for meta in _metas(field.type):
        why = meta.description or why
        extra = meta.extra or {}
        env, flag = extra.get("env", env), extra.get("flag", flag)
    return field, why, env, flag


def _metas(annotation: Any) -> list[msgspec.Meta]:
    return [part for part in typing.get_args(annotation)[1:] if isinstance(part, msgspec.Meta)]


def _plain(annotation: Any) -> Any:
    while typing.get_origin(annotation) is Annotated:
        annotation = typing.get_args(annotation)[0]
    return annotation


def takes_list(annotation: Any) -> bool:
    """Whether a setting holds several values."""
    return typing.get_origin(_plain(annotation)) in (list, tuple)
