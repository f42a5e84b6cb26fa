"""The page of the API works alone: nothing comes from elsewhere, nothing runs but its own."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from famulus.api_page import api_page, api_page_policy


class Reader(HTMLParser):
    """Gathers what a browser would act on."""

    def __init__(self) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: dict[str, str] = {}
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._open.append(tag)

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts[self._open[-1]] = self.texts.get(self._open[-1], "") + data

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass


@pytest.fixture
def page() -> Reader:
    reader = Reader()
    reader.feed(api_page("Our API").decode())
    return reader


def test_the_page_bears_its_title(page: Reader) -> None:
    assert page.texts["title"] == "Our API"
    assert page.texts["h1"] == "Our API"


def test_a_title_cannot_break_out_of_its_place() -> None:
    data = api_page('<script>"&').decode()
    assert "<title>&lt;script&gt;&quot;&amp;</title>" in data
    assert data.count("<script>") == 1


def test_the_page_reads_the_document_that_it_is_given() -> None:
    reader = Reader()
    reader.feed(api_page("x", document_url="/house/openapi.json").decode())
    assert ("body", "data-document", "/house/openapi.json") in reader.attributes


def test_the_page_fetches_nothing_from_elsewhere(page: Reader) -> None:
    links = [value for _, name, value in page.attributes if name in ("src", "href")]
    assert links
    assert all(link == "data:," or link == "/openapi.json" for link in links)
    assert not re.search(r"https?://", api_page("x").decode())
    assert not re.search(r"url\(|@import", page.texts["style"])


def test_the_page_needs_no_inline_handlers_or_styles(page: Reader) -> None:
    names = {name for _, name, _ in page.attributes}
    assert names
    assert not [name for name in names if name.startswith("on") or name == "style"]


def test_what_the_document_says_is_never_read_as_markup(page: Reader) -> None:
    script = page.texts["script"]
    assert "fetch(url)" in script
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in script


def test_the_policy_allows_the_pages_own_script_and_style_alone(page: Reader) -> None:
    policy = api_page_policy()
    for kind in ("script", "style"):
        digest = hashlib.sha256(page.texts[kind].encode()).digest()
        assert f"{kind}-src 'sha256-{base64.b64encode(digest).decode()}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
