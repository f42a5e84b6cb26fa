"""The plugin: one bucket, asked at the start whether it is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from famulus import Plugin, hookimpl
from famulus_s3.settings import S3Settings
from famulus_schemas.blobs import BlobsUnavailable
from famulus_schemas.health import Health
from famulus_schemas.ports import BLOBS

if TYPE_CHECKING:
    from famulus_s3.store import BucketOfBlobs


class DriverMissing(Exception):
    """The package that talks to S3 is not installed."""


class S3(Plugin[S3Settings]):
    """Provides BLOBS from a bucket of S3."""

    name = "s3"
    extras = {"obstore": "s3"}
    provides = (BLOBS,)
    _blobs: BucketOfBlobs | None = None

    @classmethod
    def off_because(cls, settings: S3Settings) -> str | None:
        """Off until there is a bucket to use."""
        return None if settings.bucket else "no bucket is set"

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Ask for the bucket, and provide the port."""
        _check_driver()
        from famulus_s3.store import BucketOfBlobs, open_bucket

        # Made off the loop: it reads certificates and, where no key is given, this machine's own.
        bucket = await asyncio.to_thread(open_bucket, self.settings)
        blobs = BucketOfBlobs(bucket, self.settings)
        await blobs.probe()
        self._blobs = blobs
        self.provide(BLOBS, blobs)
        yield

    @hookimpl
    async def check_health(self) -> Health:
        """Whether the bucket answers."""
        if self._blobs is None:
            return Health(status="down", detail="the bucket is not open")
        try:
            await self._blobs.probe()
        except BlobsUnavailable as error:
            return Health(status="down", detail=str(error))
        return Health(status="ok")


def _check_driver() -> None:
    # obstore is an extra: what needs it is imported only once it is known to be there.
    try:
        import obstore  # noqa: F401
    except ModuleNotFoundError as error:
        raise DriverMissing('obstore is not installed: pip install "famulus[s3]"') from error
