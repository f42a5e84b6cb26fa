"""What is kept of the tool resources that a client gives."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import UNSET

from famulus_schemas.errors import Problem
from famulus_schemas.tool_resources import settled, with_tools
from famulus_schemas.tools import (
    CodeInterpreterTool,
    CreateToolResources,
    FileSearchTool,
    ToolResources,
)


def given(text: str) -> CreateToolResources:
    return msgspec.json.decode(text, type=CreateToolResources)


@pytest.mark.parametrize(
    "text, kept",
    [
        ("{}", b"{}"),
        (
            '{"code_interpreter": {"file_ids": ["f"]}}',
            b'{"code_interpreter":{"file_ids":["f"]}}',
        ),
        (
            '{"file_search": {"vector_store_ids": ["v"]}}',
            b'{"file_search":{"vector_store_ids":["v"]}}',
        ),
        ('{"file_search": {"vector_stores": []}}', b'{"file_search":{"vector_store_ids":[]}}'),
    ],
)
def test_resources_are_kept_by_id(text: str, kept: bytes) -> None:
    assert msgspec.json.encode(settled(given(text))) == kept


def test_nothing_given_is_nothing_kept() -> None:
    assert settled(None) == ToolResources()


def test_a_fault_is_named_within_what_it_stands_in() -> None:
    with pytest.raises(Problem) as refused:
        settled(given('{"file_search": {"vector_stores": [{}]}}'), within="thread.")
    assert refused.value.body.param == "thread.tool_resources.file_search.vector_stores"
    assert refused.value.body.code == "unsupported"


def test_each_tool_with_resources_gets_an_entry() -> None:
    both = with_tools(None, [CodeInterpreterTool(), FileSearchTool()])
    assert msgspec.json.encode(both) == (
        b'{"code_interpreter":{"file_ids":[]},"file_search":{"vector_store_ids":[]}}'
    )
    assert with_tools(ToolResources(), []).file_search is UNSET
