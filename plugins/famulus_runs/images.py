"""Pictures on their way into a prompt: read out of files, within limits, if they may be shown."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from famulus_runs.engine import PromptRefused, cannot_see
from famulus_runs.settings import RunSettings
from famulus_runs.showing import FILE_SCHEME, Part, image_note, images_of, with_parts
from famulus_schemas.blobs import BlobDamaged, BlobsUnavailable
from famulus_schemas.errors import Problem
from famulus_schemas.images import (
    PICTURE_KINDS,
    WEB_SCHEMES,
    data_bytes,
    data_url,
    scheme_of,
    with_true_type,
)
from famulus_schemas.inference import ImageContent, ImageUrl, ModelCard, PromptMessage, TextContent
from famulus_schemas.ports import Files
from famulus_schemas.records import StoreUnavailable

SOLUTION = "Delete the message that holds it from the thread, and create the run again"


class Images:
    """Shows a project's pictures. Nothing of them is kept between two prompts."""

    def __init__(self, *, project: str, files: Files | None, settings: RunSettings) -> None:
        self._project = project
        self._files = files
        self._settings = settings

    async def shown(
        self, messages: Sequence[PromptMessage], model: ModelCard
    ) -> list[PromptMessage]:
        """The messages with their pictures, the newest of them where there is not room for all.

        Raises PromptRefused for a picture that the model cannot or may not be shown.
        """
        if not any(map(images_of, messages)):
            return list(messages)
        if model.sees is False:
            if self._settings.unseen_images == "fail":
                raise PromptRefused(cannot_see(model.alias_of or model.id, model.backend))
            return [_noted(message, "the model cannot see it") for message in messages]
        room = _Room(self._settings)
        shown = [await self._message(message, room) for message in reversed(messages)]
        shown.reverse()
        return shown

    async def _message(self, message: PromptMessage, room: _Room) -> PromptMessage:
        if not images_of(message):
            return message
        assert not isinstance(message.content, str)
        parts = [await self._part(part, room) for part in reversed(message.content or ())]
        return with_parts(message, parts[::-1])

    async def _part(self, part: Part, room: _Room) -> Part:
        if isinstance(part, TextContent):
            return part
        image = part.image_url
        scheme = scheme_of(image.url)
        if scheme == FILE_SCHEME:
            return await self._file(image, room)
        if scheme == "data":
            return self._data(image, room)
        if scheme not in WEB_SCHEMES:
            # Kept from before such addresses were refused.
            return image_note(image, "it cannot be shown")
        if self._settings.image_urls == "refuse":
            raise PromptRefused(_ADDRESS.format(url=image.url))
        return part if room.takes(0) else image_note(image, _NO_ROOM)

    async def _file(self, image: ImageUrl, room: _Room) -> Part:
        file_id = image.url.partition(":")[2]
        if self._files is None:
            return image_note(image)
        try:
            file = await self._files.describe(self._project, file_id)
            self._hold_size(f"file {file_id}", file.bytes)
            if not room.takes(file.bytes):
                return image_note(image, _NO_ROOM)
            chunks = await self._files.open(self._project, file_id)
            content = b"".join([chunk async for chunk in chunks])
        except Problem:
            return image_note(image, "it was deleted")
        except BlobDamaged:
            return image_note(image, "it is damaged")
        except BlobsUnavailable as error:
            raise StoreUnavailable(f"the picture {file_id} cannot be read: {error}") from error
        url = data_url(content)
        if url is None:
            raise PromptRefused(
                f"The file {file_id}, which a message shows as a picture, is no {PICTURE_KINDS}. "
                f"{SOLUTION} with one of these."
            )
        return ImageContent(image_url=replace(image, url=url))

    def _data(self, image: ImageUrl, room: _Room) -> Part:
        size = data_bytes(image.url)
        self._hold_size("data URL", size)
        url = with_true_type(image.url)
        if url is None:
            return image_note(image, f"it is no {PICTURE_KINDS}")
        if not room.takes(size):
            return image_note(image, _NO_ROOM)
        return ImageContent(image_url=replace(image, url=url))

    def _hold_size(self, what: str, size: int) -> None:
        limit = self._settings.image_bytes_max
        if size > limit:
            raise PromptRefused(
                f"The {what}, which a message shows as a picture, has {size} bytes, and models are "
                f"shown at most {limit}. {SOLUTION} with a smaller picture."
            )


class _Room:
    """For how many pictures a prompt has room yet."""

    def __init__(self, settings: RunSettings) -> None:
        self._count = settings.prompt_images_max
        self._bytes = settings.prompt_image_bytes_max

    def takes(self, size: int) -> bool:
        """Whether there is room for one more, which has it from then on.

        Once there is none, older ones find none either: a smaller one would come without those
        that stand between.
        """
        if self._count < 1 or size > self._bytes:
            self._count = 0
            return False
        self._count -= 1
        self._bytes -= size
        return True


_NO_ROOM = "left out, since later pictures take all the room"
_ADDRESS = (
    "A message gives a picture by its address, {url}, and this server has none fetched. Upload it "
    "as a file with the purpose 'vision', or send it as a data URL; or its operator lets model "
    'servers fetch pictures: image_urls = "pass" in [plugins.runs].'
)


def _noted(message: PromptMessage, reason: str) -> PromptMessage:
    if not images_of(message):
        return message
    assert not isinstance(message.content, str)
    parts: list[Part] = [
        part if isinstance(part, TextContent) else image_note(part.image_url, reason)
        for part in message.content or ()
    ]
    return with_parts(message, parts)
