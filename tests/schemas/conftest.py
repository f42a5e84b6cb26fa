"""Two words that all contract tests are written in: a type accepts a body, or refuses it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

Accepts = Callable[[Any, object], Any]
Refuses = Callable[..., None]


@pytest.fixture
def accepts() -> Accepts:
    """Decode a body as the wire would, and hand back what it became."""

    def accept(kind: Any, body: object) -> Any:
        return msgspec.json.decode(msgspec.json.encode(body), type=kind)

    return accept


@pytest.fixture
def refuses() -> Refuses:
    """Hold that a body is refused, and that the refusal names the place."""

    def refuse(kind: Any, body: object, at: str = "") -> None:
        with pytest.raises(msgspec.ValidationError) as refusal:
            msgspec.json.decode(msgspec.json.encode(body), type=kind)
        assert at in str(refusal.value), str(refusal.value)

    return refuse
