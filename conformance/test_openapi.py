"""`famulus openapi` beside OpenAI's document: every difference has a reason, and is kept here."""

from __future__ import annotations

import os

import pytest
from conformance.write import COMMAND, DIFFERENCE, difference, difference_text

from famulus_conformance.difference import Difference
from famulus_conformance.oracles import VARIABLE

pytestmark = pytest.mark.skipif(
    not os.environ.get(VARIABLE),
    reason=f"OUR DOCUMENT WAS NOT COMPARED with OpenAI's: {VARIABLE} is not set",
)


@pytest.fixture(scope="module")
def found() -> Difference:
    """All in which the two differ."""
    return difference()


def test_no_difference_is_without_a_reason(found: Difference) -> None:
    assert found.unexplained == []


def test_no_reason_outlives_its_difference(found: Difference) -> None:
    assert found.unneeded == []


def test_the_file_is_up_to_date(found: Difference) -> None:
    assert DIFFERENCE.read_text() == difference_text(found), f"to write it: {COMMAND}"


def test_a_property_that_we_lose_is_seen(found: Difference) -> None:
    run = found.ours["components"]["schemas"]["Run"]
    narrowed = {**run, "properties": {k: v for k, v in run["properties"].items() if k != "usage"}}
    schemas = {**found.ours["components"]["schemas"], "Run": narrowed}
    ours = {**found.ours, "components": {**found.ours["components"], "schemas": schemas}}
    assert "RunObject.usage: only theirs" in Difference(found.theirs, ours).unexplained


def test_an_operation_that_we_lose_is_seen(found: Difference) -> None:
    paths = {path: each for path, each in found.ours["paths"].items() if path != "/v1/threads"}
    lost = Difference(found.theirs, {**found.ours, "paths": paths})
    assert "POST /threads" in lost.not_served
    assert "POST /threads" not in found.not_served
