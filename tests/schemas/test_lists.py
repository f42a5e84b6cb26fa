"""Pages and deletions."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from famulus_schemas.assistants import Assistant
from famulus_schemas.lists import AssistantDeleted, ListPage, MessageDeleted, ThreadDeleted
from famulus_schemas.models import Model, ModelDeleted, ModelList


def test_an_empty_page_has_null_for_its_ends() -> None:
    assert msgspec.to_builtins(ListPage[Assistant](data=[])) == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


def test_a_page_knows_what_it_lists(accepts: Any, refuses: Any) -> None:
    assistant = Assistant(id="asst_1", created_at=1, model="m")
    page = ListPage(data=[assistant], first_id="asst_1", last_id="asst_1", has_more=True)
    assert accepts(ListPage[Assistant], page) == page
    refuses(ListPage[Assistant], {"data": [{"id": "asst_1"}]}, "$.data[0]")


def test_a_page_of_stored_bodies_is_sent_as_it_lies() -> None:
    rows = [msgspec.Raw(b'{"id": "a"}'), msgspec.Raw(b'{"id":"b"}')]
    page = ListPage[msgspec.Raw](data=rows, first_id="a", last_id="b")
    assert msgspec.json.encode(page) == (
        b'{"object":"list","data":[{"id": "a"},{"id":"b"}],'
        b'"first_id":"a","last_id":"b","has_more":false}'
    )


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (AssistantDeleted, "assistant.deleted"),
        (ThreadDeleted, "thread.deleted"),
        (MessageDeleted, "thread.message.deleted"),
        (ModelDeleted, "model"),
    ],
)
def test_a_deletion_names_what_is_gone(kind: Any, name: str) -> None:
    assert msgspec.to_builtins(kind(id="x")) == {"id": "x", "object": name, "deleted": True}


def test_models_are_listed_without_pages() -> None:
    model = Model(id="m", created=1, owned_by="me")
    assert msgspec.to_builtins(ModelList(data=[model])) == {
        "object": "list",
        "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "me"}],
    }
    ending = msgspec.structs.replace(model, shutdown_date="2027-01-14")
    assert msgspec.to_builtins(ending)["shutdown_date"] == "2027-01-14"
