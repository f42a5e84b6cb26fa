"""Pictures are told by their content, and written as URLs that hold them whole."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus_schemas.images import (
    data_bytes,
    data_url,
    is_sound,
    media_type_of,
    scheme_of,
    with_true_type,
)

HEADS = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF89a",
    "image/webp": b"RIFF\0\0\0\0WEBP",
}
anything = st.binary(max_size=100)


@given(st.sampled_from(sorted(HEADS)), anything)
def test_a_picture_comes_back_out_of_its_url(media_type: str, rest: bytes) -> None:
    content = HEADS[media_type] + rest
    url = data_url(content)
    assert url is not None
    head, _, payload = url.partition(",")
    assert head == f"data:{media_type};base64"
    assert base64.b64decode(payload) == content
    assert data_bytes(url) == len(content)
    assert with_true_type(url) == url
    assert is_sound(url)


@given(anything)
def test_what_is_no_picture_has_no_url(content: bytes) -> None:
    if media_type_of(content) is None:
        assert data_url(content) is None
        payload = base64.b64encode(content).decode()
        assert not is_sound(f"data:image/png;base64,{payload}")


@given(st.text(max_size=60))
def test_no_url_breaks_it(text: str) -> None:
    for url in (text, f"data:image/png;base64,{text}", f"data:{text}"):
        assert isinstance(is_sound(url), bool)
        assert data_bytes(url) >= 0


@pytest.mark.parametrize(
    "head", ["DATA:image/PNG;base64", "data:image/jpg;base64", "data:image/png;name=a.png;base64"]
)
def test_the_type_that_a_url_gives_need_not_be_right(head: str) -> None:
    payload = base64.b64encode(HEADS["image/gif"]).decode()
    assert with_true_type(f"{head},{payload}") == f"data:image/gif;base64,{payload}"


def test_a_scheme_is_told_in_lower_case() -> None:
    assert scheme_of("HTTPS://A.example/") == "https"
