"""Tokens of what a model is shown: counted once for what does not change."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from famulus_runs.settings import RunSettings
from famulus_runs.showing import images_of, texts_of
from famulus_schemas.inference import Inference, PromptMessage

MESSAGE_TOKENS = 4
"""What a chat template adds around one message, about; templates differ by one or two."""

COUNTS_KEPT_MAX = 50_000

Counted = tuple[str, Sequence[PromptMessage]]
"""The id of what does not change under it, and how it is shown."""


class TokenCounts:
    """Token counts by model and by what they are of."""

    def __init__(self, inference: Inference, settings: RunSettings) -> None:
        self._inference = inference
        self._settings = settings
        self._kept: OrderedDict[tuple[str, str, str], int] = OrderedDict()

    async def of_lasting(self, model: str, project: str, items: Sequence[Counted]) -> list[int]:
        """Tokens of each item.

        All that are not known yet are asked for at once. An estimate is not kept, because a
        better one may come.
        """
        known = {id: self._kept.get((model, project, id)) for id, _ in items}
        unknown = [item for item in items if known[item[0]] is None]
        fresh, exact = await self._count(model, [messages for _, messages in unknown])
        new = {id: count for (id, _), count in zip(unknown, fresh, strict=True)}
        if exact:
            self._keep(model, project, new)
        # Looked up before the wait, in which others may have pushed them out.
        return [new[id] if (count := known[id]) is None else count for id, _ in items]

    def of_images(self, messages: Sequence[PromptMessage]) -> int:
        """Tokens that the pictures of these messages are taken for."""
        low, other = self._settings.image_tokens_low, self._settings.image_tokens
        return sum(
            low if image.detail == "low" else other
            for message in messages
            for image in images_of(message)
        )

    def _keep(self, model: str, project: str, counts: Mapping[str, int]) -> None:
        for id, count in counts.items():
            self._kept[model, project, id] = count
        while len(self._kept) > COUNTS_KEPT_MAX:
            self._kept.popitem(last=False)

    async def _count(
        self, model: str, groups: Sequence[Sequence[PromptMessage]]
    ) -> tuple[list[int], bool]:
        """Tokens of each group of messages, and whether they are exact."""
        texts = [[text for message in group for text in texts_of(message)] for group in groups]
        flat = [text for group in texts for text in group]
        if not flat:
            return [self._besides(group) for group in groups], True
        counted = await self._inference.count_tokens(model, flat)
        left = iter(counted.counts)
        counts = [
            self._besides(group) + sum(next(left) for _ in of_group)
            for group, of_group in zip(groups, texts, strict=True)
        ]
        return counts, counted.exact

    def _besides(self, group: Sequence[PromptMessage]) -> int:
        """Tokens of what is no text."""
        return MESSAGE_TOKENS * len(group) + self.of_images(group)
