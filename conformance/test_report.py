"""The report that is kept here is the one that judging our own server makes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from conformance.write import COMMAND, HERE, document_path, write_report

from famulus.testing import kernel_with
from famulus.testing.transport import InProcess
from famulus_conformance.described import DescribedOracle
from famulus_conformance.oracles import VARIABLE
from famulus_conformance.overlay import overlaid, overlay
from famulus_conformance.probing import probe
from famulus_conformance.report import NAMES
from famulus_conformance.spec_oracle import spec_document
from famulus_conformance.target import Target, client_of, first_model
from famulus_conformance.verdict import judged

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        not os.environ.get(VARIABLE),
        reason=f"THE REPORT WAS NOT MADE ANEW by OpenAI's document: {VARIABLE} is not set",
    ),
]

KEY = "sk-test"

DONE = {
    *("assistants", "threads", "messages", "runs", "run_steps", "models"),
    *("chat", "completions", "embeddings"),
}
"""Groups that are served as a whole."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the report, made anew."""
    folder = tmp_path_factory.mktemp("report")
    done = write_report(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def told(made: Path) -> Any:
    """The report, for machines."""
    return json.loads((made / "REPORT.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_what_is_kept_is_up_to_date(made: Path, name: str) -> None:
    assert (HERE / name).read_text() == (made / name).read_text(), f"to write it: {COMMAND}"


@pytest.mark.parametrize("group", sorted(DONE))
@pytest.mark.parametrize("aspect", ["implemented", "properties", "limits", "errors"])
def test_what_is_served_is_whole(told: Any, group: str, aspect: str) -> None:
    assert told["groups"][group][aspect]["percent"] == 100


def test_nothing_deviates_without_a_reason(told: Any) -> None:
    assert told["broken"] == []
    assert told["oracle_is_document"]


def test_no_reason_outlives_what_it_is_for(told: Any) -> None:
    used = {each["why"] for each in told["known"]}
    assert [each.why for each in overlay().known if each.why not in used] == []


async def looked_at(entry: Any, entries: list[Any]) -> list[Any]:
    """What the probes find, by the document with these entries, in the group of one entry."""
    id = entry.at[0].partition(".")[0]
    document = overlaid(spec_document(document_path()), "document", entries)
    oracle = DescribedOracle(document, name="of a test", is_document=True)
    group = next(each.group for each in oracle.operations() if each.id == id)
    plugins = ("keys", "sqlite", "jobs", "events", "models", "builtin", "chat", "local_blobs")
    settings = {"keys": {"api_key": KEY, "first_key": False}}
    async with (
        kernel_with(*plugins, "files", settings=settings) as server,
        client_of("http://famulus.test/v1", transport=InProcess(server.kernel)) as client,
    ):
        model = await first_model(client, KEY)
        target = Target(client, api_key=KEY, model=model, is_far=False)
        return judged(await probe(oracle, target, only=[group]))


ON_WIRE = [each for each in overlay().deviation if each.on_wire]


@pytest.mark.parametrize(
    "entry", [each for each in ON_WIRE if not each.limits], ids=lambda entry: entry.at[0]
)
async def test_what_only_the_wire_shows_would_be_found_without_its_entry(entry: Any) -> None:
    others = [each for each in overlay().deviation if each is not entry]
    assert any(each.standing == "broken" for each in await looked_at(entry, others))


@pytest.mark.parametrize(
    "entry", [each for each in ON_WIRE if each.limits], ids=lambda entry: entry.at[0]
)
async def test_a_limit_that_only_the_wire_shows_is_kept(entry: Any) -> None:
    # Without its entry nobody would try it.
    place = entry.at[0].partition(".request.")[2]
    found = await looked_at(entry, list(overlay().deviation))
    tried = [each for each in found if each.finding.what.startswith(f"body.{place}: minItems")]
    assert tried
    assert [each.finding for each in tried if each.standing == "broken"] == []
