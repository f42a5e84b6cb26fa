"""What a method must be to be an operation."""

from __future__ import annotations

from typing import Any

import pytest

from famulus import Call, operation, operations
from famulus.operations import OperationError


class Sync:
    """Forgot the async."""

    @operation("GET", "/thing", action="thing.read")  # type: ignore[type-var]
    def get_thing(self, call: Call) -> dict[str, str]:
        return {}


class Misnamed:
    """Takes what the path does not give."""

    @operation("GET", "/thing/{thing_id}", action="thing.read")
    async def get_thing(self, call: Call, thing: str) -> dict[str, str]:
        return {}


class Forgetful:
    """Leaves out a name of the path."""

    @operation("GET", "/thing/{thing_id}", action="thing.read")
    async def get_thing(self, call: Call) -> dict[str, str]:
        return {}


@pytest.mark.parametrize(
    ("owner", "reason"),
    [
        (Sync(), r"Sync\.get_thing \(GET /thing\): must be async def"),
        (Misnamed(), r"Misnamed\.get_thing .*: parameter 'thing' is not in the path, nor known"),
        (Forgetful(), r"Forgetful\.get_thing .* every name of the path \['thing_id'\]"),
    ],
)
def test_a_method_that_cannot_serve_is_refused_before_the_first_request(
    owner: Any, reason: str
) -> None:
    with pytest.raises(OperationError, match=reason):
        operations(owner)
