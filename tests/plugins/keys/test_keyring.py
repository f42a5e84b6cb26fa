"""How often keys are looked up, and when a cached one stops to be valid."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.secret import Secret
from famulus.testing import FixedClock
from famulus_keys.keyring import FIXED, FIXED_ADMIN, Keyring, bearer
from famulus_keys.settings import KeysSettings
from famulus_keys.tokens import RANDOM_BYTES, is_well_formed, make_token
from famulus_schemas.errors import Problem
from famulus_schemas.keys import StoredKey

pytestmark = pytest.mark.anyio


class Shelf:
    """A key store in memory that counts how often it is asked."""

    def __init__(self) -> None:
        self.keys: dict[bytes, StoredKey] = {}
        self.asked = 0
        self.written = 0

    async def find(self, digest: bytes) -> tuple[str, StoredKey] | None:
        self.asked += 1
        key = self.keys.get(digest)
        return None if key is None else ("project_1", key)

    async def role_of(self, project: str, key: StoredKey) -> str:
        return "member"

    async def change(self, project: str, id: str, change: Any) -> bool:
        for digest, key in self.keys.items():
            if key.id == id:
                self.keys[digest] = change(key)
                self.written += 1
                return True
        return False


class Projects:
    """All projects are active, but for those that were archived."""

    def __init__(self) -> None:
        self.archived: set[str] = set()

    async def is_active(self, id: str) -> bool:
        return id not in self.archived


class Case:
    """A keyring with its parts."""

    def __init__(self, **settings: Any) -> None:
        self.shelf = Shelf()
        self.projects = Projects()
        self.clock = FixedClock()
        self.keyring = Keyring(
            self.shelf,  # type: ignore[arg-type]
            self.projects,  # type: ignore[arg-type]
            KeysSettings(**settings),
            pepper=b"pepper",
            clock=self.clock,
        )

    def put(self, n: int, **fields: Any) -> str:
        token = make_token(n.to_bytes(RANDOM_BYTES))
        key = StoredKey(id=f"key_{n}", last_four=token[-4:], created_at=0, **fields)
        self.shelf.keys[self.keyring.digest(token.encode())] = key
        return token

    async def is_valid(self, token: str) -> bool:
        return await self.keyring.principal(token) is not None


async def test_a_key_tells_who_it_stands_for() -> None:
    case = Case()
    principal = await case.keyring.principal(case.put(1, owner="user_1", scopes=("threads.read",)))
    assert principal is not None
    assert (principal.id, principal.key_id) == ("user_1", "key_1")
    assert (principal.project, principal.scopes) == ("project_1", ("threads.read",))


async def test_a_key_without_an_owner_stands_for_itself() -> None:
    case = Case()
    principal = await case.keyring.principal(case.put(1))
    assert principal is not None
    assert (principal.id, principal.scopes) == ("key_1", ("*",))


async def test_a_key_seen_a_moment_ago_is_not_looked_up() -> None:
    case = Case()
    token = case.put(1)
    for _ in range(5):
        assert await case.is_valid(token)
    assert case.shelf.asked == 1


async def test_a_revoked_key_is_invalid_after_the_cache_time() -> None:
    case = Case()
    token = case.put(1)
    assert await case.is_valid(token)
    case.shelf.keys.clear()
    case.clock.move(0.99)
    assert await case.is_valid(token)
    case.clock.move(0.01)
    assert not await case.is_valid(token)


async def test_a_revoked_key_is_invalid_at_once_where_it_is_forgotten() -> None:
    case = Case()
    token = case.put(1)
    assert await case.is_valid(token)
    case.shelf.keys.clear()
    case.keyring.forget()
    assert not await case.is_valid(token)


async def test_a_key_that_is_revoked_while_it_is_looked_up_is_not_remembered() -> None:
    case = Case()
    token = case.put(1)
    found, go_on = asyncio.Event(), asyncio.Event()
    find = case.shelf.find

    async def slowly(digest: bytes) -> tuple[str, StoredKey] | None:
        known = await find(digest)
        found.set()
        await go_on.wait()
        return known

    case.shelf.find = slowly  # type: ignore[method-assign]
    asked = asyncio.create_task(case.is_valid(token))
    await found.wait()
    case.shelf.keys.clear()
    case.keyring.forget()
    go_on.set()
    assert await asked
    assert not await case.is_valid(token)


async def test_a_clock_set_back_does_not_prolong_a_key() -> None:
    case = Case()
    token = case.put(1)
    assert await case.is_valid(token)
    case.shelf.keys.clear()
    case.clock.move(-3600)
    assert not await case.is_valid(token)


async def test_nothing_is_cached_where_the_cache_time_is_zero() -> None:
    case = Case(cache_s=0)
    token = case.put(1)
    assert await case.is_valid(token)
    assert await case.is_valid(token)
    assert case.shelf.asked == 2


async def test_an_expired_key_is_invalid() -> None:
    case = Case()
    token = case.put(1, expires_at=int(case.clock.at) + 10)
    assert await case.is_valid(token)
    case.clock.move(10)
    assert not await case.is_valid(token)


async def test_an_ill_formed_key_is_refused_without_a_look_up() -> None:
    case = Case()
    token = case.put(1)
    wrong = [token[:-1] + ("0" if token[-1] != "0" else "1"), token + "0", "sk-proj-abc", "' or 1"]
    for each in wrong:
        assert not await case.is_valid(each)
    assert case.shelf.asked == 0


@given(st.binary(min_size=1, max_size=RANDOM_BYTES), st.text(max_size=60))
def test_no_likeness_of_a_key_is_looked_up(random: bytes, more: str) -> None:
    case = Case()
    token = make_token(random.rjust(RANDOM_BYTES, b"x"))
    sent = more.encode("utf-8", "replace").decode("latin-1")
    for each in (sent, f"sk-fam-{sent}", f"{token[:-6]}{sent}", f"{token}{sent or '0'}"):
        if not is_well_formed(each):
            assert not asyncio.run(case.is_valid(each))
    assert case.shelf.asked == 0


async def test_an_unknown_key_is_looked_up_each_time() -> None:
    case = Case()
    token = make_token(bytes(RANDOM_BYTES))
    assert not await case.is_valid(token)
    case.put(0)
    assert await case.is_valid(token)


async def test_the_cache_holds_no_more_keys_than_its_limit() -> None:
    case = Case(cache_keys_max=3)
    tokens = [case.put(n) for n in range(5)]
    for token in tokens:
        assert await case.is_valid(token)
    assert case.shelf.asked == 5
    for token in tokens[2:]:
        assert await case.is_valid(token)
    assert case.shelf.asked == 5
    assert await case.is_valid(tokens[0])
    assert case.shelf.asked == 6


async def test_the_cache_holds_no_keys_in_clear() -> None:
    case = Case()
    token = case.put(1)
    assert await case.is_valid(token)
    held = gc.get_referents(case.keyring, *gc.get_referents(case.keyring.__dict__))
    assert token not in str([*held, vars(case.keyring)])


@pytest.mark.parametrize("key", ["x", "a longer key of words", "schlüssel", "sk-proj-123"])
async def test_the_configured_key_may_have_any_form(key: str) -> None:
    case = Case(api_key=Secret(key))
    # As the header comes: UTF-8 bytes, decoded as Latin-1.
    assert await case.keyring.principal(key.encode().decode("latin-1")) == FIXED
    assert not await case.is_valid(key + "x")
    assert await case.is_valid(case.put(1))


async def test_an_empty_configured_key_lets_nobody_in() -> None:
    case = Case(api_key=Secret(""))
    assert not await case.is_valid("")


@pytest.mark.parametrize(
    "header, token",
    [
        (None, None),
        ("", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("Basic dXNlcjpwYXNz", None),
        ("sk-fam-abc", None),
        ("Bearer abc", "abc"),
        ("bearer abc", "abc"),
        ("BEARER   abc  ", "abc"),
        ("Bearer a b", "a b"),
    ],
)
def test_a_token_is_what_follows_the_scheme(header: str | None, token: str | None) -> None:
    assert bearer(header) == token


async def test_when_a_key_was_last_used_is_written_once_a_minute() -> None:
    case = Case()
    token = case.put(1)
    for _ in range(59):
        assert await case.is_valid(token)
        case.clock.move(1)
    assert case.shelf.written == 1
    case.clock.move(1)
    assert await case.is_valid(token)
    assert case.shelf.written == 2
    [key] = case.shelf.keys.values()
    assert key.last_used_at == int(case.clock.at)


async def test_a_key_of_an_archived_project_is_refused_within_a_second() -> None:
    case = Case()
    token = case.put(1)
    assert await case.is_valid(token)
    case.projects.archived.add("project_1")
    case.clock.move(1)
    with pytest.raises(Problem, match="archived"):
        await case.is_valid(token)


async def test_the_configured_admin_key_is_of_no_project() -> None:
    case = Case(admin_api_key=Secret("the admin"), api_key=Secret("the key"))
    admin, other = (
        await case.keyring.principal("the admin"),
        await case.keyring.principal("the key"),
    )
    assert (admin, other) == (FIXED_ADMIN, FIXED)
