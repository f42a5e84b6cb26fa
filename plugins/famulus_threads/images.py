"""Which pictures a message may have, as far as that can be seen without fetching anything."""

from __future__ import annotations

from collections.abc import Callable

from famulus_schemas.errors import INVALID, Problem
from famulus_schemas.images import PICTURE_KINDS, WEB_SCHEMES, data_bytes, is_sound, scheme_of
from famulus_schemas.messages import (
    ImageFileContentBlock,
    ImageURLContentBlock,
    RequestContent,
)
from famulus_threads.settings import ThreadsSettings

Refusal = Callable[[str], str | None]
"""Why a picture at an address on the web could never be shown, where that is known."""


def nothing_refused(url: str) -> str | None:
    """For pictures that nobody looks at."""
    return None


def hold_images(
    content: RequestContent, name: str, settings: ThreadsSettings, refusal: Refusal
) -> None:
    """Raise Problem for the first picture that no model could be shown."""
    if isinstance(content, str):
        return
    count = 0
    for index, block in enumerate(content):
        if isinstance(block, ImageURLContentBlock):
            param = f"{name}[{index}].image_url.url"
            _hold_url(block.image_url.url, param, settings, refusal)
        count += isinstance(block, ImageURLContentBlock | ImageFileContentBlock)
    limit = settings.message_images_max
    if count > limit:
        reason = f"it holds {count} pictures, and {limit} is the limit of one message."
        raise Problem(INVALID, param=name, name=name, reason=reason)


def _hold_url(url: str, param: str, settings: ThreadsSettings, refusal: Refusal) -> None:
    scheme = scheme_of(url)
    if scheme in WEB_SCHEMES:
        known = refusal(url)
        if known is None:
            return
        reason = (
            f"the picture cannot be fetched: {known}. Upload it as a file with the purpose "
            "'vision', or send it as a data URL."
        )
    elif scheme != "data":
        reason = (
            f"a picture is given by an http, https or data URL, and not by one that begins with "
            f"'{scheme}:'. Upload it as a file with the purpose 'vision', or send it as a data URL."
        )
    elif (size := data_bytes(url)) > (limit := settings.image_data_bytes_max):
        reason = f"the picture has {size} bytes, and {limit} is the limit. Send a smaller one."
    elif not is_sound(url):
        reason = (
            f"this data URL holds no {PICTURE_KINDS} picture. Its form is "
            "'data:image/png;base64,' and the picture's bytes in base64."
        )
    else:
        return
    raise Problem(INVALID, param=param, name=param, reason=reason)
