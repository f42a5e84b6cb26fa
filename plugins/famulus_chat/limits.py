"""Holds what a request says beside its messages to what OpenAI's API takes of it.

Model servers differ in what they refuse; a client meets the same refusals whichever answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec
from msgspec import Raw

from famulus.validation import BodyDecoder

PASSED_ON = frozenset({"messages", "model", "stream"})
"""What is looked at elsewhere, or is the model's server's to judge."""


class FieldLimits:
    """Judges each field that is there by itself, so that what is not read is not decoded."""

    def __init__(self, fields: type[msgspec.Struct]) -> None:
        self._decoders = {
            each.encode_name: BodyDecoder[Any](each.type)
            for each in msgspec.structs.fields(fields)
            if each.encode_name not in PASSED_ON
        }

    def refuse(self, fields: Mapping[str, Raw]) -> None:
        """Raise Problem where a field is of a wrong type, too long, too large or too small."""
        for name, raw in fields.items():
            decoder = self._decoders.get(name)
            if decoder is not None:
                value = bytes(raw)
                # Null is as if it were not there.
                if value != b"null":
                    decoder.decode(value, within=name)


limits_of = cache(FieldLimits)
"""The limits of one kind of request, made once."""
