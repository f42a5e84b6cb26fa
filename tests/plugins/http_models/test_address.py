"""A base URL is completed as people write it, or refused with the reason."""

from __future__ import annotations

import pytest

from famulus_http_models.address import Address


@pytest.mark.parametrize(
    ("url", "api", "root", "label"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1", "http://127.0.0.1:8000", None),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1", "http://127.0.0.1:8000", None),
        ("http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000/v1", "http://127.0.0.1:8000", None),
        (
            "https://openrouter.ai/api/v1",
            "https://openrouter.ai/api/v1",
            "https://openrouter.ai/api",
            "openrouter.ai",
        ),
        ("http://[::1]:8000", "http://[::1]:8000/v1", "http://[::1]:8000", "[::1]:8000"),
        ("http://box/llm", "http://box/llm", "http://box/llm", "box"),
    ],
)
def test_a_url_is_made_whole(url, api, root, label):
    address = Address.parse(url)
    assert (address.api, address.root) == (api, root)
    assert address.label == (label or "127.0.0.1:8000")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("127.0.0.1:8000", "must look like"),
        ("ftp://box", "must look like"),
        ("http://", "must look like"),
        ("http://box:port", "box"),
        ("http://me:secret@box", "password"),
        ("http://box/v1?key=secret", "end with its path"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_secrets(url, words):
    with pytest.raises(ValueError, match=words) as caught:
        Address.parse(url)
    assert "secret" not in str(caught.value)
