"""Keys of two servers on one database, each with a data folder of its own."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from tests.e2e.serving import Served, serve

pytestmark = pytest.mark.parametrize("store_variables", ["postgres"], indirect=True)

NO_KEY_OF_ITS_OWN = {"FAMULUS_API_KEY": "", "FAMULUS_OPENAI_COMPATIBLE__DISCOVER": "false"}


def first_key(served: Served) -> str:
    [key] = re.findall(r"export OPENAI_API_KEY=(\S+)", served.log.read_text())
    return str(key)


def asked(served: Served, key: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.get(f"{served.base_url}/assistants", headers=headers, timeout=60)


def test_a_server_with_a_pepper_of_its_own_is_not_ready_and_says_what_to_do(
    store_variables: dict[str, str], tmp_path: Path
) -> None:
    variables = {**NO_KEY_OF_ITS_OWN, **store_variables}
    with serve(tmp_path / "one", environment=variables) as one:
        key = first_key(one)
        with serve(tmp_path / "two", environment=variables) as two:
            assert (asked(one, key).status_code, asked(two, key).status_code) == (200, 503)
            ready = httpx.get(f"{two.url}/health/ready")
            assert (ready.status_code, ready.json()["plugins"]["keys"]["detail"]) == (503, "failed")
            [said] = [event["reason"] for event in two.events() if event.get("plugin") == "keys"]
            assert "Set FAMULUS_KEYS__PEPPER" in said
            assert f"copy its file `pepper` to {tmp_path / 'two' / 'data' / 'pepper'}" in said
        data = tmp_path / "two" / "data"
        (data / "pepper").write_bytes((tmp_path / "one" / "data" / "pepper").read_bytes())
        (data / "pepper").chmod(0o600)
        with serve(tmp_path / "two", environment=variables) as two:
            assert asked(two, key).status_code == 200


def test_with_one_pepper_the_key_of_one_server_is_valid_at_the_other(
    store_variables: dict[str, str], tmp_path: Path
) -> None:
    pepper = {"FAMULUS_KEYS__PEPPER": "the pepper of both of them"}
    variables = {**NO_KEY_OF_ITS_OWN, **store_variables, **pepper}
    with (
        serve(tmp_path / "one", environment=variables) as one,
        serve(tmp_path / "two", environment=variables) as two,
    ):
        assert asked(two, first_key(one)).status_code == 200
        assert "OPENAI_API_KEY" not in two.log.read_text()
