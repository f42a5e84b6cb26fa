"""What is embedded for stores, told to whoever keeps account of what models are used for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from famulus_schemas.identity import Principal
from famulus_schemas.records import Unit
from famulus_schemas.usage import Meter, Used
from famulus_vector_stores.kinds import FileExtra

CHARACTERS_PER_TOKEN = 4
"""Of queries, of which nobody counts the tokens."""


class Account:
    """The account of stores, where there is somebody who keeps one.

    A file is charged in the commit that ends it: once, however often it was begun.
    """

    def __init__(self, meter: Meter | None, now: Callable[[], int]) -> None:
        self._meter = meter
        self._now = now

    async def refuse(self, project: str, key: str = "") -> None:
        """Raise Problem where the key or its project may not use any more."""
        if self._meter is not None:
            await self._meter.refuse(project, key)

    def read(
        self, project: str, of: FileExtra, model: str, *, requests: int, tokens: int
    ) -> Sequence[Used]:
        """A file was embedded."""
        if self._meter is None or not requests:
            return ()
        return [
            Used(
                at=self._now(),
                what="embeddings",
                project=project,
                principal=of.principal,
                key=of.key,
                model=model,
                requests=requests,
                input_tokens=tokens,
                is_estimate=True,
            )
        ]

    async def writes(self, used: Sequence[Used]) -> Unit:
        """What belongs into the commit of it."""
        return await self._meter.writes(used) if self._meter is not None and used else ()

    def written(self, used: Sequence[Used]) -> None:
        """It was committed."""
        if self._meter is not None and used:
            self._meter.written(used)

    def searched(
        self, project: str, models: Collection[str], queries: Sequence[str], by: Principal | None
    ) -> None:
        """Queries were embedded."""
        if self._meter is None:
            return
        texts = [text for text in dict.fromkeys(queries) if text.strip()]
        tokens = sum(-(-len(text) // CHARACTERS_PER_TOKEN) for text in texts)
        for model in models if texts else ():
            self._meter.note(
                Used(
                    at=self._now(),
                    what="embeddings",
                    project=project,
                    principal="" if by is None else by.id,
                    key="" if by is None else by.key_id or "",
                    model=model,
                    input_tokens=tokens,
                    is_estimate=True,
                )
            )

    def asked(self, by: Principal) -> None:
        """A client has searched; runs count their searches themselves."""
        if self._meter is not None:
            self._meter.note(
                Used(
                    at=self._now(),
                    what="file_searches",
                    project=by.project,
                    principal=by.id,
                    key=by.key_id or "",
                )
            )
