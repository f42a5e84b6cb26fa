"""Pictures on their way into a prompt: read out of files, within limits, if they may be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from famulus_runs.engine import PromptRefused, cannot_see
from famulus_runs.fetched_images import FetchedImages, Found
from famulus_runs.settings import RunSettings
from famulus_runs.showing import FILE_SCHEME, Part, image_note, images_of, with_parts
from famulus_schemas.blobs import BlobDamaged, BlobsUnavailable
from famulus_schemas.errors import Problem
from famulus_schemas.fetching import NotFetched
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
    """Shows a project's pictures. Only what was fetched is kept between two prompts."""

    def __init__(
        self,
        *,
        project: str,
        files: Files | None,
        fetched: FetchedImages | None,
        settings: RunSettings,
    ) -> None:
        self._project = project
        self._files = files
        self._fetched = fetched
        self._settings = settings
        self._found: Mapping[str, Found] = {}
        """What is at the addresses of the messages that are being shown."""

    async def shown(
        self,
        messages: Sequence[PromptMessage],
        model: ModelCard,
        *,
        run_id: str = "",
        asked: Sequence[PromptMessage] = (),
    ) -> list[PromptMessage]:
        """The messages with their pictures, the newest of them where there is not room for all.

        Raises PromptRefused for a picture that the model cannot or may not be shown. One whose
        address leads to nothing is refused in the messages that are `asked` now; in older ones,
        which nobody can put right, the model is told.
        """
        if not any(map(images_of, messages)):
            return list(messages)
        if model.sees is False:
            if self._settings.unseen_images == "fail":
                raise PromptRefused(cannot_see(model.alias_of or model.id, model.backend))
            return [_noted(message, "the model cannot see it") for message in messages]
        room = _Room(self._settings)
        self._found = await self._at_addresses(messages, run_id)
        now = set(map(id, asked))
        shown = [
            await self._message(message, room, is_asked=id(message) in now)
            for message in reversed(messages)
        ]
        shown.reverse()
        return shown

    async def _at_addresses(
        self, messages: Sequence[PromptMessage], run_id: str
    ) -> Mapping[str, Found]:
        """What is at the addresses on the web that messages give, if this server fetches it."""
        if self._settings.image_urls != "fetch":
            return {}
        urls = [
            image.url
            for message in reversed(messages)
            for image in reversed(images_of(message))
            if scheme_of(image.url) in WEB_SCHEMES
        ]
        if urls and self._fetched is None:
            raise PromptRefused(_NOBODY.format(url=urls[0]))
        return await self._fetched.of(self._project, run_id, urls) if self._fetched else {}

    async def _message(
        self, message: PromptMessage, room: _Room, *, is_asked: bool
    ) -> PromptMessage:
        if not images_of(message):
            return message
        assert not isinstance(message.content, str)
        parts = [await self._part(part, room, is_asked) for part in reversed(message.content or ())]
        return with_parts(message, parts[::-1])

    async def _part(self, part: Part, room: _Room, is_asked: bool) -> Part:
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
        if self._settings.image_urls == "fetch":
            return self._web(image, room, is_asked)
        return part if room.takes(0) else image_note(image, _NO_ROOM)

    def _web(self, image: ImageUrl, room: _Room, is_asked: bool) -> Part:
        found = self._found.get(image.url)
        if isinstance(found, NotFetched):
            if is_asked:
                raise PromptRefused(_NOT_FETCHED.format(url=image.url, reason=found))
            return image_note(image, "it could not be fetched")
        # One that was not looked for is of those that there is no room for.
        if found is None or not room.takes(data_bytes(found)):
            return image_note(image, _NO_ROOM)
        return ImageContent(image_url=replace(image, url=found))

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
_NOT_FETCHED = (
    "A message gives a picture by its address, {url}, and it cannot be fetched: {reason}. "
    f"{SOLUTION} with one that can, or upload the picture as a file with the purpose 'vision', or "
    "send it as a data URL."
)
_NOBODY = (
    "A message gives a picture by its address, {url}, and no plugin of this server fetches it. "
    "Upload it as a file with the purpose 'vision', or send it as a data URL; or its operator adds "
    "the plugin 'fetch'."
)
_ADDRESS = (
    "A message gives a picture by its address, {url}, and this server has none fetched. Upload it "
    "as a file with the purpose 'vision', or send it as a data URL; or its operator has "
    'pictures fetched: image_urls = "fetch" in [plugins.runs].'
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
