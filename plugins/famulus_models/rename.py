"""The model's name in an answer: what the server calls it becomes what the client called it."""

from __future__ import annotations

import re

import msgspec

# Bytes and not decoded JSON, so that an answer is passed on as it came. This is safe in texts: a
# quote inside a JSON text is always escaped, so these bytes are a key wherever they stand.
_MODEL = re.compile(rb'"model":\s?("(?:[^"\\]|\\.)*")')


class Renamer:
    """Renames through one answer; the name to replace is learnt from its first mention."""

    def __init__(self, model: str) -> None:
        self._wanted = msgspec.json.encode(model)
        self._found: bytes | None = None
        self._replacement = b""

    def __call__(self, data: bytes) -> bytes:
        """The same events or body, naming the model as the client does."""
        if self._found is None:
            mention = _MODEL.search(data)
            if mention is None:
                return data
            self._found = mention[0]
            self._replacement = self._found[: -len(mention[1])] + self._wanted
        if self._found == self._replacement:
            return data
        return data.replace(self._found, self._replacement)
