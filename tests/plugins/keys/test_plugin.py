"""Who is let in over HTTP, with which words others are turned away, and what is kept of keys."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from famulus.log import make_log
from famulus.testing import FixedClock, TestServer, kernel_with, live_server, make_kernel
from famulus_keys.claim import Claim, OtherPepper
from famulus_keys.tokens import RANDOM_BYTES, make_token
from famulus_schemas.keys import StoredKey
from famulus_schemas.records import Delete

pytestmark = pytest.mark.anyio

PLUGINS = ("sqlite", "keys", "assistants")
FIXED = {"keys": {"api_key": "the key of the deployment"}}

NO_API_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header "
    "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)"
)


def with_key(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def status_of(server: TestServer, key: str) -> int:
    return (await server.get("/v1/assistants", headers=with_key(key))).status_code


async def new_key(server: TestServer, **fields: Any) -> tuple[StoredKey, str]:
    made: tuple[StoredKey, str] = await server.plugin("keys").create(**fields)
    return made


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "Basic dXNlcjpwYXNz"},
        {"x-api-key": "the key of the deployment"},
        {"cookie": "authorization=the key of the deployment"},
    ],
)
async def test_who_brings_no_key_is_told_so(headers: dict[str, str]) -> None:
    async with kernel_with(*PLUGINS, settings=FIXED) as server:
        refused = await server.get("/v1/assistants", headers=headers)
    error = refused.json()["error"]
    assert refused.status_code == 401
    assert error["message"].startswith(NO_API_KEY)
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, None)


@pytest.mark.parametrize(
    "key, shown",
    [
        ("sk-abcdefghijklmnopqrstuvwxyz", "sk-ab***yz"),
        (make_token(bytes(RANDOM_BYTES)), "sk-fa***"),
        ("short", "***"),
        ("' or '1'='1' --", "***"),
        ("'; drop table record; --", "'; dr***--"),
        ("x" * 5000, "xxxxx***xx"),
        ("{shown} {0} %s {nothing}", "{show***g}"),
        ("schlüssel", "***"),
    ],
)
async def test_who_brings_a_wrong_key_is_told_so_without_repeating_it(key: str, shown: str) -> None:
    async with kernel_with(*PLUGINS, settings=FIXED) as server:
        header = {b"authorization": b"Bearer " + key.encode()}
        refused = await server.client.get("/v1/assistants", headers=header)  # type: ignore[arg-type]
    error = refused.json()["error"]
    assert refused.status_code == 401
    assert error["message"].startswith(f"Incorrect API key provided: {shown}")
    assert (error["type"], error["param"], error["code"]) == (
        "invalid_request_error",
        None,
        "invalid_api_key",
    )
    assert key not in refused.text


async def test_an_unknown_path_is_told_only_to_who_is_known() -> None:
    async with kernel_with(*PLUGINS, settings=FIXED) as server:
        assert (await server.get("/v1/nothing")).status_code == 401
        known = with_key("the key of the deployment")
        assert (await server.get("/v1/nothing", headers=known)).status_code == 404


async def test_the_first_start_makes_a_key_and_prints_it_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with kernel_with(*PLUGINS, data_dir=tmp_path) as server:
        printed = capsys.readouterr()
        [key] = re.findall(r"export OPENAI_API_KEY=(\S+)", printed.err)
        assert printed.out == ""
        assert await status_of(server, key) == 200
    async with kernel_with(*PLUGINS, data_dir=tmp_path) as server:
        assert capsys.readouterr().err == ""
        assert await status_of(server, key) == 200


@pytest.mark.parametrize("settings", [FIXED, {"keys": {"first_key": False}}])
async def test_no_first_key_is_made_where_none_is_wanted(
    settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async with kernel_with(*PLUGINS, settings=settings) as server:
        assert [key async for key in server.plugin("keys").store.all()] == []
    assert capsys.readouterr().err == ""


async def test_an_empty_configured_key_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    async with kernel_with(*PLUGINS, settings={"keys": {"api_key": ""}}) as server:
        assert (await server.get("/v1/assistants", headers=with_key(""))).status_code == 401
    assert "export OPENAI_API_KEY=sk-fam-" in capsys.readouterr().err


async def test_the_first_key_is_made_once_by_many_servers(tmp_path: Path) -> None:
    async with kernel_with(*PLUGINS, data_dir=tmp_path) as server:
        assert await server.plugin("keys").create(id="key_first") is None


async def test_a_revoked_key_is_refused_at_once() -> None:
    async with kernel_with(*PLUGINS, settings=FIXED, clock=FixedClock()) as server:
        key, token = await new_key(server)
        assert await status_of(server, token) == 200
        assert await server.plugin("keys").revoke(key.id)
        assert await status_of(server, token) == 401
        assert not await server.plugin("keys").revoke(key.id)


async def test_a_key_revoked_elsewhere_is_refused_within_a_second(fixed_clock: FixedClock) -> None:
    async with kernel_with(*PLUGINS, settings=FIXED, clock=fixed_clock) as server:
        key, token = await new_key(server)
        assert await status_of(server, token) == 200
        await server.plugin("keys").store.remove(key.id)
        fixed_clock.move(1)
        assert await status_of(server, token) == 401


async def test_one_revoked_key_leaves_the_others() -> None:
    async with kernel_with(*PLUGINS, settings=FIXED) as server:
        key, token = await new_key(server)
        _, other = await new_key(server)
        await server.plugin("keys").revoke(key.id)
        assert (await status_of(server, token), await status_of(server, other)) == (401, 200)


async def test_an_expired_key_is_refused(fixed_clock: FixedClock) -> None:
    async with kernel_with(*PLUGINS, settings=FIXED, clock=fixed_clock) as server:
        _, token = await new_key(server, expires_at=int(fixed_clock.at) + 60)
        assert await status_of(server, token) == 200
        fixed_clock.move(60)
        assert await status_of(server, token) == 401


async def test_a_key_reaches_its_own_project_only() -> None:
    async with kernel_with(*PLUGINS, settings=FIXED) as server:
        plugin = server.plugin("keys")
        token = make_token(bytes(RANDOM_BYTES))
        key = StoredKey(id="key_other", last_four=token[-4:], created_at=0)
        await plugin.store.add(key, plugin.keyring.digest(token.encode()), project="other")
        mine, other = with_key("the key of the deployment"), with_key(token)
        made = await server.post("/v1/assistants", {"model": "m"}, headers=mine)
        path = f"/v1/assistants/{made.json()['id']}"
        assert (await server.get(path, headers=mine)).status_code == 200
        assert (await server.get(path, headers=other)).status_code == 404
        assert (await server.get("/v1/assistants", headers=other)).json()["data"] == []


async def test_the_server_keeps_and_logs_no_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = io.StringIO()
    log = make_log("debug", "json", stream=out)
    async with kernel_with(*PLUGINS, data_dir=tmp_path, log=log) as server:
        [first] = re.findall(r"export OPENAI_API_KEY=(\S+)", capsys.readouterr().err)
        _, second = await new_key(server)
        assert (await status_of(server, first), await status_of(server, second)) == (200, 200)
        texts = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    texts += [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    texts.append(out.getvalue().encode())
    assert len(texts) > 3
    for key in (first, second):
        # The last four are kept on purpose.
        assert not any(key[7:-4].encode() in text for text in texts)


ONE = {"keys": {"pepper": "pepper number one", "first_key": False}}
UNKNOWN = make_token(bytes(RANDOM_BYTES))
TWO = {"keys": {"pepper": "pepper number two", "first_key": False}}
WHAT_TO_DO = r"Set FAMULUS_KEYS__PEPPER to .*, or copy its file `pepper` to .*/pepper\."


async def test_a_server_with_another_pepper_than_the_keys_lets_nobody_in_and_says_what_to_do(
    tmp_path: Path,
) -> None:
    async with kernel_with(*PLUGINS, data_dir=tmp_path, settings=ONE) as server:
        _, token = await new_key(server)
        assert await status_of(server, token) == 200
    async with kernel_with(*PLUGINS, data_dir=tmp_path, settings=TWO) as server:
        state, reason = server.state("keys")
        assert state == "failed"
        assert re.search(WHAT_TO_DO, reason)
        assert await status_of(server, token) == 503
        ready = await server.get("/health/ready")
        assert (ready.status_code, "keys" in ready.json()["plugins"]) == (503, True)
    assert not (tmp_path / "pepper").exists()
    async with kernel_with(*PLUGINS, data_dir=tmp_path, settings=ONE) as server:
        assert await status_of(server, token) == 200


async def test_a_lost_pepper_is_told_and_no_other_is_made_in_its_place(tmp_path: Path) -> None:
    async with kernel_with(*PLUGINS, data_dir=tmp_path) as server:
        _, token = await new_key(server)
    pepper = (tmp_path / "pepper").read_text()
    (tmp_path / "pepper").unlink()
    for _ in range(2):
        async with kernel_with(*PLUGINS, data_dir=tmp_path) as server:
            assert re.search(WHAT_TO_DO, server.state("keys")[1])
    assert not (tmp_path / "pepper").exists()
    (tmp_path / "pepper").write_text(pepper)
    (tmp_path / "pepper").chmod(0o600)
    async with kernel_with(*PLUGINS, data_dir=tmp_path) as server:
        assert await status_of(server, token) == 200


async def test_a_key_that_another_server_made_since_is_not_called_wrong(tmp_path: Path) -> None:
    out = io.StringIO()
    log = make_log("error", "json", stream=out)
    fixed = "the key of the deployment"
    two = {"keys": {**TWO["keys"], "api_key": fixed}}
    async with kernel_with(*PLUGINS, data_dir=tmp_path, settings=two, log=log) as server:
        keys = server.plugin("keys")
        assert (await server.get("/health/ready")).json()["status"] == "ok"
        await Claim(keys.store, b"pepper number one", hint="").make(now=0)
        for _ in range(2):
            refused = await server.get("/v1/assistants", headers=with_key(UNKNOWN))
            assert refused.status_code == 503
            assert "cannot check the key" in refused.json()["error"]["message"]
        assert await status_of(server, "not one of ours") == 401
        with pytest.raises(OtherPepper):
            await keys.create()
    assert out.getvalue().count("pepper_differs") == 1


@pytest.mark.parametrize("is_lost", [True, False])
async def test_the_configured_key_is_valid_whatever_the_pepper_is(
    tmp_path: Path, is_lost: bool
) -> None:
    fixed = "the key of the deployment"
    async with kernel_with(*PLUGINS, data_dir=tmp_path):
        pass
    if is_lost:
        (tmp_path / "pepper").unlink()
    own = {} if is_lost else {"pepper": "pepper number two"}
    settings = {"keys": {**own, "api_key": fixed}}
    out = io.StringIO()
    log = make_log("error", "json", stream=out)
    async with kernel_with(*PLUGINS, data_dir=tmp_path, settings=settings, log=log) as server:
        assert await status_of(server, fixed) == 200
        assert await status_of(server, UNKNOWN) == 503
        ready = await server.get("/health/ready", headers=with_key(fixed))
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert re.search(WHAT_TO_DO, ready.json()["plugins"]["keys"]["detail"])
    assert out.getvalue().count("pepper_differs") == 1
    assert (tmp_path / "pepper").exists() == (not is_lost)


async def test_keys_made_before_peppers_were_told_apart_stay_valid(tmp_path: Path) -> None:
    async with kernel_with(*PLUGINS, data_dir=tmp_path, settings=ONE) as server:
        _, token = await new_key(server)
        [claim] = await server.plugin("keys").records.scan("key_pepper")
        unclaim = [Delete(kind="key_pepper", id=claim.id)]
        await server.plugin("keys").records.of(claim.project).commit(unclaim)
    async with kernel_with(*PLUGINS, data_dir=tmp_path, settings=ONE) as server:
        assert await status_of(server, token) == 200
    async with kernel_with(*PLUGINS, data_dir=tmp_path, settings=TWO) as server:
        assert server.state("keys")[0] == "failed"


async def test_the_store_does_not_hold_the_pepper(tmp_path: Path) -> None:
    async with kernel_with(*PLUGINS, data_dir=tmp_path):
        pepper = (tmp_path / "pepper").read_text().strip()
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("*.sqlite3*"))
    assert b"key_pepper" in stored
    assert pepper.encode() not in stored
    assert bytes.fromhex(pepper) not in stored


async def test_nobody_is_let_in_where_keys_cannot_start(tmp_path: Path) -> None:
    (tmp_path / "pepper").write_text("broken")
    (tmp_path / "pepper").chmod(0o600)
    async with kernel_with(*PLUGINS, data_dir=tmp_path, settings=FIXED) as server:
        state, reason = server.state("keys")
        assert state == "failed"
        assert "restore it from a backup" in reason
        assert await status_of(server, "the key of the deployment") == 503


async def test_the_official_client_is_let_in_and_turned_away(tmp_path: Path) -> None:
    kernel = make_kernel(*PLUGINS, data_dir=tmp_path, settings=FIXED)
    async with live_server(kernel) as url:
        base_url, key = f"{url}/v1", "the key of the deployment"
        async with AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0) as client:
            assert (await client.beta.assistants.list()).data == []
        async with AsyncOpenAI(base_url=base_url, api_key="wrong", max_retries=0) as client:
            with pytest.raises(openai.AuthenticationError) as refused:
                await client.beta.assistants.list()
            assert refused.value.code == "invalid_api_key"


async def test_what_plugins_say_of_the_whole_server_is_not_for_every_key(tmp_path: Path) -> None:
    async with kernel_with(*PLUGINS, data_dir=tmp_path, settings=TWO) as server:
        keys = server.plugin("keys")
        told = {}
        for scopes in (("*",), ("*.read",), ("metrics.read",), ("plugins.read",)):
            _, token = await keys.create(scopes=scopes)
            told[scopes] = (await server.get("/-/plugins", headers=with_key(token))).status_code
    assert told == {("*",): 403, ("*.read",): 403, ("metrics.read",): 403, ("plugins.read",): 200}


async def test_the_key_that_a_server_gives_its_operator_reads_what_it_says_of_itself(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    fixed = "the key of the deployment"
    async with kernel_with(*PLUGINS, data_dir=tmp_path) as server:
        [first] = re.findall(r"export OPENAI_API_KEY=(\S+)", capsys.readouterr().err)
        assert (await server.get("/-/plugins", headers=with_key(first))).status_code == 200
    settings = {"keys": {"api_key": fixed}}
    async with kernel_with(*PLUGINS, data_dir=tmp_path, settings=settings) as server:
        assert (await server.get("/-/plugins", headers=with_key(fixed))).status_code == 200
