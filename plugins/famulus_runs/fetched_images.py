"""Pictures that messages give by address: fetched once for a run, and kept for its next steps."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from famulus_runs.pixels import size_of
from famulus_runs.settings import RunSettings
from famulus_schemas.fetching import Fetch, NotFetched
from famulus_schemas.images import PICTURE_KINDS, data_bytes, data_url

ACCEPT = "image/png, image/jpeg, image/webp, image/gif"
REFUSAL_BYTES = 256
"""What an address that led to nothing takes in memory, about."""
KEY_BYTES = 512
"""What it takes that a run and an address are known, about, besides the address itself."""

Found = str | NotFetched
"""A picture as a data URL, or why there is none; that is kept too, so that it is told once."""


class FetchedImages:
    """Those of all runs of this process."""

    def __init__(self, fetch: Fetch, settings: RunSettings) -> None:
        self._fetch = fetch
        self._settings = settings
        self._kept: OrderedDict[tuple[str, str, str], Found] = OrderedDict()
        self._bytes = 0

    def refusal(self, url: str) -> str | None:
        """Why an address is never fetched, as far as its text tells."""
        return self._fetch.refusal(url)

    async def of(self, project: str, run_id: str, urls: Sequence[str]) -> Mapping[str, Found]:
        """What is at these addresses, as many of the first ones as a prompt has room for."""
        found: dict[str, Found] = {}
        room = self._settings.prompt_image_bytes_max
        wanted = list(dict.fromkeys(urls))[: self._settings.prompt_images_max]
        at_once = self._settings.images_fetched_at_once
        for start in range(0, len(wanted), at_once):
            if room < 0:
                break
            batch = wanted[start : start + at_once]
            got = await asyncio.gather(*(self._one(project, run_id, url) for url in batch))
            found.update(zip(batch, got, strict=True))
            room -= sum(data_bytes(each) for each in got if isinstance(each, str))
        return found

    async def _one(self, project: str, run_id: str, url: str) -> Found:
        key = project, run_id, url
        if (kept := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            return kept
        try:
            found: Found = await self._picture(project, url)
        except NotFetched as refusal:
            found = NotFetched(str(refusal))
        self._keep(key, found)
        return found

    async def _picture(self, project: str, url: str) -> str:
        limit = self._settings.image_bytes_max
        fetched = await self._fetch.get(project, url, bytes_max=limit, accept=ACCEPT)
        picture = data_url(fetched.content)
        if picture is None:
            raise NotFetched(f"what is there is no {PICTURE_KINDS}")
        size = size_of(fetched.content)
        if size is None:
            raise NotFetched("what is there is damaged")
        width, height = size
        if width * height > self._settings.image_pixels_max:
            raise NotFetched(
                f"it is {width} x {height} pixels large, and "
                f"{self._settings.image_pixels_max} pixels are the limit"
            )
        return picture

    def _keep(self, key: tuple[str, str, str], found: Found) -> None:
        before = self._kept.pop(key, None)
        self._bytes += _memory(key, found) - (0 if before is None else _memory(key, before))
        self._kept[key] = found
        while self._bytes > self._settings.fetched_images_bytes_max and self._kept:
            place, oldest = self._kept.popitem(last=False)
            self._bytes -= _memory(place, oldest)


def _memory(key: tuple[str, str, str], found: Found) -> int:
    """About; an address may be far longer than what it led to."""
    held = len(found) if isinstance(found, str) else REFUSAL_BYTES
    return held + KEY_BYTES + len(key[2])
