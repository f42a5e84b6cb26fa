"""README's table of what goes and what stays is that of the code, and is what is so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.isolation.tenants import PLUGINS, SETTINGS
from tests.plugins.retention.erasing import GONE, filled, run, serving, tenant

from famulus.testing import kernel_with
from famulus_retention.known import Known
from famulus_schemas.identity import SYSTEM_PROJECT, Principal

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[3]
README = (ROOT / "plugins" / "famulus_retention" / "README.md").read_text()


def rows() -> Iterator[tuple[str, str, str, str]]:
    """The rows of the table: what, of a project, of a person, why."""
    table = README.partition("## What goes, and what stays")[2].partition("\n## ")[0]
    for line in table.splitlines():
        if line.startswith("| ") and not line.startswith(("| what", "| ---")):
            what, project, person, why = (cell.strip() for cell in line.strip("|").split("|"))
            yield what, project, person, why


def told() -> dict[str, str]:
    """What becomes of each kind of record, or place, where its project is erased."""
    return {
        name: project
        for what, project, _, _ in rows()
        for name in (re.findall(r"`(\w+)`", what) or [what])
    }


def in_code(called: str) -> set[str]:
    """The names that are given in the code of all plugins to what is made by such a call."""
    pattern = re.compile(rf"(?<!\w){called}\(\s*name=\"([^\"]+)\"")
    sources = (path.read_text() for path in (ROOT / "plugins").rglob("*.py"))
    return {name for source in sources for name in pattern.findall(source)}


def test_every_kind_of_record_and_every_place_is_in_the_table_once() -> None:
    listed = [name for what, *_ in rows() for name in re.findall(r"`(\w+)`", what)]
    assert sorted(listed) == sorted(in_code("Kind"))
    places = {what for what, *_ in rows() if "`" not in what}
    assert places == in_code("DataPlace") | {"blobs", "counters of limits", "boxes"}


async def test_what_stays_of_a_project_is_what_plugins_say_and_why(tmp_path: Path) -> None:
    async with kernel_with(*PLUGINS, "retention", data_dir=tmp_path, settings=SETTINGS) as server:
        known: Known = server.plugin("retention").known
        staying = known.staying
        options = {each.name: {each.kind, *each.also} for each in known.kinds if each.stays}
    of_records = {name: becomes for name, becomes in told().items() if name in in_code("Kind")}
    assert {name for name, becomes in of_records.items() if becomes == "stay"} == set(staying)
    for what, _, _, why in rows():
        for name in re.findall(r"`(\w+)`", what):
            if name in staying:
                assert staying[name] in why[0].lower() + why[1:]
                [option] = [option for option, kinds in options.items() if name in kinds]
                assert f"`--with-{option}`" in why


async def census(data_dir: Path, *projects: str) -> set[str]:
    """The kinds of record that there are of these projects."""
    async with serving(data_dir, "retention") as (server, _):
        records = server.plugin("retention").records
        return {kind for each in projects for kind in (await records.census(each)).records}


@pytest.mark.parametrize("asked", [(), ("--with-audit", "--with-usage")])
async def test_of_all_that_a_project_can_have_that_is_left_which_the_table_says(
    tmp_path: Path, asked: tuple[str, ...]
) -> None:
    async with serving(tmp_path) as (server, backend):
        service = server.plugin("keys").service
        project = (await service.create_project(GONE, by=Principal(id="tester"))).id
        await service.create_account(project, GONE, by=Principal(id="tester"), role="member")
        _, admin = await server.plugin("keys").create(project=SYSTEM_PROJECT)
        await filled(await tenant(server, backend, project, GONE), waits=False)
        headers = {"authorization": f"Bearer {admin}"}
        where = f"/v1/organization/projects/{project}"
        limits: dict[str, Any] = {"max_requests_per_1_minute": 1000}
        budget = {"threshold_amount": 100, "currency": "USD", "interval": "month"}
        for path, body in (
            (f"{where}/rate_limits/rl-scripted", limits),
            (f"{where}/spend_limit", budget),
        ):
            response = await server.post(path, body, headers=headers)
            assert response.status_code == 200, response.text
        assert await server.plugin("usage").settle()
    becomes = told()
    there = await census(tmp_path, project)
    gone = {"run", "usage_entry", "usage_limit", "rate_limit", "key", "service_account", "job"}
    assert (gone - {"job"}) | {"usage_day", "audit_event", "vector_store_chunks"} <= there
    result = await run(tmp_path, "erase", "project", project, "--yes", *asked)
    assert result.exit_code == 0, result.output
    left = await census(tmp_path, project)
    stays = {name for name in there if becomes[name] == "stay"}
    assert left == (stays if not asked else set())
