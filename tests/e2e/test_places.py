"""The places are what they are called."""

from __future__ import annotations

from tests.e2e.places import Place


def test_the_records_are_kept_in_the_store_that_was_named(place: Place) -> None:
    plugins = place.served.get("/-/plugins").json()["data"]
    keeping = [
        each["name"]
        for each in plugins
        if each["state"] == "running" and "records" in each["provides"]
    ]
    assert keeping == [place.store]


def test_the_models_are_those_of_the_named_server_and_no_others(place: Place) -> None:
    models = place.served.get("/v1/models").json()["data"]
    # Where no server embeds, the embedder that needs none is there beside the stand-in.
    embeds = ["famulus-lexical-1"] if place.model.id == "famulus-builtin" else []
    assert [each["id"] for each in models] == [place.model.id, *embeds]
