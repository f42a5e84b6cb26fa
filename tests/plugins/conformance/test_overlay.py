"""The overlay changes what it names, and says so when there is nothing left to change."""

from __future__ import annotations

from typing import Any

import pytest

from famulus_conformance.overlay import Deviation, StaleDeviation, overlaid, overlay


def document(request: Any, response: Any = None, **named: Any) -> Any:
    """A document of one operation, `create`."""
    return {
        "paths": {
            "/things": {
                "post": {
                    "operationId": "create",
                    "parameters": [{"name": "limit", "in": "query", "schema": {"type": "integer"}}],
                    "requestBody": {"content": {"application/json": {"schema": request}}},
                    "responses": {
                        "200": {"content": {"application/json": {"schema": response or {}}}}
                    },
                }
            }
        },
        "components": {"schemas": named},
    }


def changed(before: Any, **change: Any) -> Any:
    entry = Deviation(why="So it is.", **change)
    return overlaid(before, "document", [entry])


def request_of(document: Any) -> Any:
    entry = document["paths"]["/things"]["post"]
    return entry["requestBody"]["content"]["application/json"]["schema"]


TEXT = {"type": "string"}
THING = {"type": "object", "properties": {"name": TEXT, "size": {"type": "integer"}}}


def test_a_limit_is_set_where_there_is_none():
    before = document(THING)
    after = changed(before, at=["*.name"], limits={"maxLength": 5})
    assert request_of(after)["properties"]["name"] == {"type": "string", "maxLength": 5}
    assert request_of(before) == THING


def test_a_limit_is_changed_only_from_what_it_was():
    before = document({"type": "array", "items": TEXT, "maxItems": 20})
    change: Any = {"at": ["create.request"], "limits": {"maxItems": 128}}
    assert request_of(changed(before, **change, was={"maxItems": 20}))["maxItems"] == 128
    with pytest.raises(StaleDeviation):
        changed(before, **change, was={"maxItems": 30})


def test_what_is_no_longer_needed_is_refused():
    before = document({"type": "object", "properties": {"name": {**TEXT, "maxLength": 5}}})
    with pytest.raises(StaleDeviation, match=r"document needs no change any more by: \*\.name"):
        changed(before, at=["*.name"], limits={"maxLength": 5})
    with pytest.raises(StaleDeviation):
        changed(before, at=["create.request.nam"], limits={"maxLength": 5})


def test_a_component_is_changed_for_all_who_refer_to_it():
    before = document({"$ref": "#/components/schemas/Thing"}, Thing=THING)
    after = changed(before, at=["create.request.name"], limits={"minLength": 1})
    assert after["components"]["schemas"]["Thing"]["properties"]["name"]["minLength"] == 1


def test_null_is_added_beside_a_reference():
    before = document({"$ref": "#/components/schemas/Thing"}, Thing=THING)
    after = changed(before, at=["create.request"], null=True)
    assert request_of(after) == {
        "anyOf": [{"$ref": "#/components/schemas/Thing"}, {"type": "null"}]
    }


def test_a_place_can_be_excepted():
    before = document(THING, THING)
    after = changed(before, at=["*.size"], limits={"minimum": 1}, except_=["*.response.*"])
    assert "minimum" in request_of(after)["properties"]["size"]
    answer = after["paths"]["/things"]["post"]["responses"]["200"]["content"]
    assert "minimum" not in answer["application/json"]["schema"]["properties"]["size"]


def test_a_query_is_a_place_too():
    after = changed(document(THING), at=["*.query.limit"], limits={"maximum": 100})
    [limit] = after["paths"]["/things"]["post"]["parameters"]
    assert limit["schema"]["maximum"] == 100


def test_one_of_several_objects_is_named_by_its_type():
    def kind(word: str) -> Any:
        return {"type": "object", "properties": {"type": {"enum": [word]}, "text": TEXT}}

    before = document({"oneOf": [kind("a"), kind("b")]})
    after = changed(before, at=["create.request.<b>.text"], limits={"maxLength": 1})
    assert "maxLength" not in request_of(after)["oneOf"][0]["properties"]["text"]
    assert request_of(after)["oneOf"][1]["properties"]["text"]["maxLength"] == 1


def test_a_closed_object_is_opened_and_all_limits_are_taken_away():
    closed = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
    before = document({**closed, "additionalProperties": False})
    assert "additionalProperties" not in request_of(changed(before, at=["*.request"], open=True))
    free = changed(before, at=["*.n"], unlimited=True)
    assert request_of(free)["properties"]["n"] == {"type": "integer"}


def test_every_entry_gives_its_reason_in_a_sentence():
    whole = overlay()
    for entry in (*whole.deviation, *whole.told, *whole.known):
        assert entry.why.endswith(".")
        assert len(entry.why) > 20


def test_an_entry_for_one_source_leaves_the_other_alone():
    entry = Deviation(at=["*.name"], why="So it is.", only="client", limits={"maxLength": 5})
    assert overlaid(document(THING), "document", [entry]) == document(THING)
