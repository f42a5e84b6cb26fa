"""Searches: what is found, in which order, with which score, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.plugins.vector_stores.conftest import Api, server_of

from famulus.testing import FixedClock
from famulus_schemas.retrieval import Comparison, Ranking

pytestmark = pytest.mark.anyio

TEXTS = {
    "vacation": "Employees have thirty days of paid vacation every year.",
    "notice": "The notice period of a contract is three months.",
    "parking": "Parking lots belong to visitors; the code of the gate is XK-4711.",
    "lunch": "The canteen serves lunch from noon until two.",
}


async def a_library(api: Api) -> tuple[str, dict[str, str]]:
    """A store of the texts, and the file of each."""
    store = (await api.post("/vector_stores"))["id"]
    files = {}
    for number, (name, text) in enumerate(TEXTS.items()):
        files[name] = await api.file(text, name=f"{name}.txt")
        attributes = {"topic": name, "number": number, "public": name in ("lunch", "parking")}
        body = {"file_id": files[name], "attributes": attributes}
        await api.post(f"/vector_stores/{store}/files", body)
    await api.settled(store)
    return store, files


async def test_what_fits_best_comes_first_with_where_it_is_from(api: Api) -> None:
    store, files = await a_library(api)
    answer = await api.post(f"/vector_stores/{store}/search", {"query": "days of paid vacation"})
    assert answer["object"] == "vector_store.search_results.page"
    assert answer["search_query"] == ["days of paid vacation"]
    assert (answer["has_more"], answer["next_page"]) == (False, None)
    first = answer["data"][0]
    assert first == {
        "file_id": files["vacation"],
        "filename": "vacation.txt",
        "score": first["score"],
        "attributes": {"topic": "vacation", "number": 0, "public": False},
        "content": [{"type": "text", "text": TEXTS["vacation"]}],
    }
    scores = [each["score"] for each in answer["data"]]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


async def test_a_word_that_means_nothing_to_a_model_is_found(api: Api) -> None:
    store, files = await a_library(api)
    found = await api.search(store, "XK-4711")
    assert found[0]["file_id"] == files["parking"]
    assert found[0]["score"] > 0.6


async def test_a_threshold_keeps_out_what_has_nothing_to_do_with_it(api: Api) -> None:
    store, files = await a_library(api)
    options = {"ranking_options": {"score_threshold": 0.4}}
    found = await api.search(store, "how many days of paid vacation", **options)
    assert [each["file_id"] for each in found] == [files["vacation"]]
    assert await api.search(store, "quantum chromodynamics", **options) == []
    for ranker in ("auto", "default-2024-11-15", "none"):
        ranking = {"ranker": ranker, "score_threshold": 0}
        assert await api.search(store, "paid vacation", ranking_options=ranking)


async def test_several_queries_are_answered_as_one(api: Api) -> None:
    store, files = await a_library(api)
    found = await api.search(store, ["notice period", "lunch in the canteen", "lunch"])
    assert {each["file_id"] for each in found[:2]} == {files["notice"], files["lunch"]}
    texts = [each["content"][0]["text"] for each in found]
    assert len(texts) == len(set(texts))
    assert await api.search(store, []) == await api.search(store, " ") == []
    many = await api.search(store, "the", max_num_results=2)
    assert len(many) <= 2


async def test_a_question_is_searched_for_what_is_asked(api: Api) -> None:
    store, _ = await a_library(api)
    query = "Could you please tell me what the notice period is?"
    body = {"query": [query, "lunch"], "rewrite_query": True}
    answer = await api.post(f"/vector_stores/{store}/search", body)
    assert answer["search_query"] == ["notice period", "lunch"]
    plain = await api.post(f"/vector_stores/{store}/search", {"query": query})
    assert plain["search_query"] == [query]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"type": "eq", "key": "topic", "value": "lunch"}, {"lunch"}),
        ({"type": "ne", "key": "topic", "value": "lunch"}, {"vacation", "notice", "parking"}),
        ({"type": "gte", "key": "number", "value": 2}, {"parking", "lunch"}),
        ({"type": "lt", "key": "number", "value": 0.5}, {"vacation"}),
        ({"type": "eq", "key": "public", "value": True}, {"parking", "lunch"}),
        ({"type": "eq", "key": "number", "value": True}, set()),
        ({"type": "in", "key": "topic", "value": ["lunch", "notice"]}, {"lunch", "notice"}),
        ({"type": "in", "key": "topic", "value": "lunch"}, {"lunch"}),
        ({"type": "nin", "key": "number", "value": [0, 1]}, {"parking", "lunch"}),
        (
            {
                "type": "and",
                "filters": [
                    {"type": "eq", "key": "public", "value": True},
                    {
                        "type": "or",
                        "filters": [
                            {"type": "gt", "key": "number", "value": 2},
                            {"type": "eq", "key": "topic", "value": "notice"},
                        ],
                    },
                ],
            },
            {"lunch"},
        ),
    ],
)
async def test_filters_choose_the_files_that_are_searched(
    api: Api, filters: dict[str, Any], expected: set[str]
) -> None:
    store, files = await a_library(api)
    query = "vacation notice parking lunch"
    found = await api.search(store, query, filters=filters)
    assert {each["file_id"] for each in found} == {files[name] for name in expected}


def nested(depth: int) -> dict[str, Any]:
    """A filter of that many levels."""
    given: dict[str, Any] = {"type": "eq", "key": "a", "value": 1}
    for _ in range(depth - 1):
        given = {"type": "and", "filters": [given]}
    return given


EQ = {"type": "eq", "key": "a", "value": 1}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "query"),
        ({"query": "x", "max_num_results": 51}, "max_num_results"),
        ({"query": "x", "max_num_results": 0}, "max_num_results"),
        (
            {"query": "x", "ranking_options": {"score_threshold": 1.5}},
            "ranking_options.score_threshold",
        ),
        ({"query": "x", "ranking_options": {"ranker": "best"}}, "ranking_options.ranker"),
        ({"query": "x", "filters": {"type": "like", "key": "a", "value": 1}}, "filters.type"),
        ({"query": "x", "filters": {"type": "eq", "value": 1}}, "filters.key"),
        (
            {"query": "x", "filters": {"type": "or", "filters": [EQ, {"type": "eq", "key": "a"}]}},
            "filters.filters[1].value",
        ),
        (
            {"query": "x", "filters": {"type": "and", "filters": [EQ, {**EQ, "value": ["b"]}]}},
            "filters.filters[1].value",
        ),
        ({"query": "x", "filters": {**EQ, "value": [1]}}, "filters.value"),
        ({"query": "x", "filters": nested(9)}, "filters" + ".filters[0]" * 8),
        ({"query": "x", "filters": {"type": "and", "filters": [EQ] * 64}}, "filters"),
        ({"query": ["x"] * 33}, "query"),
        ({"query": ["x", "y" * 16_385]}, "query[1]"),
    ],
)
async def test_what_cannot_be_searched_for_is_refused_by_name(
    api: Api, body: dict[str, Any], param: str
) -> None:
    store = (await api.post("/vector_stores"))["id"]
    assert (await api.refused(f"/vector_stores/{store}/search", body))[0] == param


async def test_filters_may_be_as_deep_and_long_as_the_limits(api: Api) -> None:
    store = await api.store("words")
    for filters in (nested(8), {"type": "or", "filters": [EQ] * 63}):
        assert await api.search(store, "words", filters=filters) == []


async def test_changed_attributes_count_at_once(api: Api) -> None:
    store, files = await a_library(api)
    filters = {"type": "eq", "key": "topic", "value": "holidays"}
    assert await api.search(store, "vacation", filters=filters) == []
    path = f"/vector_stores/{store}/files/{files['vacation']}"
    await api.post(path, {"attributes": {"topic": "holidays"}})
    (found,) = await api.search(store, "vacation", filters=filters)
    assert found["attributes"] == {"topic": "holidays"}


async def test_an_empty_store_has_nothing_and_an_unknown_one_is_not_found(api: Api) -> None:
    store = (await api.post("/vector_stores"))["id"]
    assert await api.search(store, "anything") == []
    path = "/vector_stores/vs_none/search"
    _, _, message = await api.refused(path, {"query": "x"}, status=404)
    assert message == "No vector store found with id 'vs_none'."


async def test_a_store_whose_model_nobody_serves_any_more_says_so(
    tmp_path: Path, fixed_clock: FixedClock
) -> None:
    settings = {"vector_stores": {"attempts_max": 2}}
    same: dict[str, Any] = {"clock": fixed_clock, "data_dir": tmp_path, "settings": settings}
    async with server_of(**same) as server:
        api = Api(server)
        store, file = await api.store("some words"), await api.file("more words")
    async with server_of(without=["builtin"], **same) as server:
        api = Api(server)
        path = f"/vector_stores/{store}"
        _, code, message = await api.refused(f"{path}/search", {"query": "words"}, status=503)
        assert code == "embedding_model_unavailable"
        assert "'famulus-lexical-1'" in message
        await api.post(f"{path}/files", {"file_id": file})
        await api.settled(store)
        failed = await api.get(f"{path}/files/{file}")
        assert failed["last_error"]["code"] == "server_error"
        assert "famulus-lexical-1" in failed["last_error"]["message"]


async def test_the_port_searches_several_stores_and_passes_over_those_that_are_gone(
    api: Api,
) -> None:
    stores = [await api.store("red words"), await api.store("blue words")]
    ids = [*stores, "vs_none"]
    found = await api.user.stores.search("default", ids, ["words"], limit=5, ranking=Ranking())
    assert {each.store for each in found} == set(stores)
    where = Comparison(op="eq", key="a", value=1)
    assert not await api.user.stores.search(
        "default", ids, ["words"], limit=5, ranking=Ranking(), where=where
    )
    assert await api.user.stores.search("other", ids, ["words"], limit=5, ranking=Ranking()) == []
    assert await api.user.stores.ready("default", ids, within_s=0) == 0
