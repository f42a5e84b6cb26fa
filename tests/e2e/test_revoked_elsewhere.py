"""Keys and projects of two servers on one database: what one ends, the other refuses too."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest
from openai import OpenAI
from tests.e2e.serving import Served, serve

pytestmark = pytest.mark.parametrize("store_variables", ["postgres"], indirect=True)

ADMIN = "the admin key of both servers"
VARIABLES = {
    "FAMULUS_ADMIN_KEY": ADMIN,
    "FAMULUS_KEYS__PEPPER": "the pepper of both of them",
    "FAMULUS_OPENAI_COMPATIBLE__DISCOVER": "false",
}
CACHE_S = 1.0
"""For which a server may take a key for valid without asking, and no longer."""


def status(served: Served, key: str) -> int:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.get(f"{served.base_url}/assistants", headers=headers, timeout=60).status_code


def test_what_one_server_ends_is_refused_by_the_other_a_second_later(
    store_variables: dict[str, str], tmp_path: Path
) -> None:
    variables = {**store_variables, **VARIABLES}
    with (
        serve(tmp_path / "one", environment=variables) as one,
        serve(tmp_path / "two", environment=variables) as two,
        OpenAI(base_url=one.base_url, api_key="none", admin_api_key=ADMIN) as client,
    ):
        projects = client.admin.organization.projects
        project = projects.create(name="Billing").id
        keys = [
            projects.service_accounts.create(project_id=project, name=name).api_key
            for name in ("first", "second")
        ]
        first, second = [key for key in keys if key is not None]
        both = (one, two)
        assert [status(each, key.value) for each in both for key in (first, second)] == [200] * 4
        projects.api_keys.delete(first.id, project_id=project)
        assert status(one, first.value) == 401
        time.sleep(CACHE_S)
        assert status(two, first.value) == 401
        assert status(two, second.value) == 200
        projects.archive(project)
        assert status(one, second.value) == 401
        time.sleep(CACHE_S)
        assert status(two, second.value) == 401
