"""One page that shows the OpenAPI document to a reader, with nothing fetched from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from functools import cache
from importlib import resources

_INLINE = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)


def api_page(title: str, *, document_url: str = "/openapi.json") -> bytes:
    """The page; it reads the document at `document_url` once it is opened."""
    page = _template()
    for name, value in (("title", title), ("document_url", document_url)):
        page = page.replace("{{" + name + "}}", html.escape(value))
    return page.encode()


def api_page_policy() -> str:
    """The Content-Security-Policy under which the page works: its own script, and no other."""
    hashes = {kind: _hash(text) for kind, text in _INLINE.findall(_template())}
    return (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


@cache
def _template() -> str:
    return resources.files("famulus").joinpath("api_page.html").read_text("utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
