"""What a fuzzer is given to begin with: for each operation one request that succeeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from famulus_conformance.oracle import OracleOperation
from famulus_conformance.recipes import RECIPES, Kitchen, NotPrepared, Request
from famulus_conformance.target import Target, client_of


def prepared(
    operations: Iterable[OracleOperation], base_url: str, api_key: str, model: str
) -> Mapping[str, Request]:
    """Requests by the operation's id; what cannot be made is left out, and fuzzed without."""
    import anyio

    async def make() -> dict[str, Request]:
        async with client_of(base_url) as client:
            kitchen = Kitchen(Target(client, api_key=api_key, model=model))
            return {
                operation.id: request
                for operation in operations
                if (request := await _made(kitchen, operation)) is not None
            }

    return anyio.run(make)


async def _made(kitchen: Kitchen, operation: OracleOperation) -> Request | None:
    recipe = RECIPES.get(operation.id)
    if recipe is None:
        return None
    try:
        return await recipe(kitchen)
    except NotPrepared:
        return None
