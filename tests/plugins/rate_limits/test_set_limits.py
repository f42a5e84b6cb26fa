"""Limits of a project's models that an administrator sets while the server runs."""

from __future__ import annotations

import math
from typing import Any

import openai
import pytest
from tests.plugins.usage.house import House, opened

from famulus.testing import Script
from famulus_rate_limits.stored import id_of
from famulus_schemas.rate_limits import AMOUNT_MAX

pytestmark = pytest.mark.anyio

PLUGINS = ("rate_limits", "memory_limits", "openai_compatible")
LIMIT = "rl-scripted"
SHORT = Script(repeats_last=True).says("Yes.").uses(3, 2)


def house_with(script: Script = SHORT, **limits: Any) -> Any:
    return opened(script, *PLUGINS, rate_limits=limits)


async def refusal(house: House, client: openai.AsyncOpenAI) -> openai.RateLimitError:
    """What a request is answered that is over a limit."""
    with pytest.raises(openai.RateLimitError) as caught:
        await house.said(client)
    assert caught.value.code == "rate_limit_exceeded"
    assert int(caught.value.response.headers["retry-after"]) >= 1
    return caught.value


async def test_what_limits_nothing_is_listed_as_the_most_that_can_be_set() -> None:
    async with house_with() as house:
        project, _, _ = await house.key()
        listed = await house.projects.rate_limits.list_rate_limits(project)
        [only] = [each for each in listed.data if each.model == "scripted"]
        assert (only.object, only.id) == ("project.rate_limit", LIMIT)
        assert only.max_requests_per_1_minute == only.max_tokens_per_1_minute == AMOUNT_MAX
        assert only.max_requests_per_1_day is None
        assert {each.model for each in listed.data} == {
            card.id for card in (await house.client.models.list()).data
        }


async def test_a_limit_counts_for_its_project_and_model_until_it_is_raised() -> None:
    async with house_with() as house:
        project, _, client = await house.key()
        _, _, other = await house.key("Other")
        limits = house.projects.rate_limits
        made = await limits.update_rate_limit(
            LIMIT, project_id=project, max_requests_per_1_minute=2
        )
        assert (made.max_requests_per_1_minute, made.max_tokens_per_1_minute) == (2, AMOUNT_MAX)
        for _ in range(2):
            await house.said(client)
        refused = await refusal(house, client)
        assert refused.response.headers["x-ratelimit-limit-requests"] == "2"
        assert refused.response.headers["x-ratelimit-remaining-requests"] == "0"
        assert (
            f"Rate limit reached for scripted in the project {project} on requests per min (RPM): "
            "Limit 2, Used 2, Requested 1."
        ) in refused.message
        for _ in range(3):
            await house.said(other)
        await limits.update_rate_limit(LIMIT, project_id=project, max_requests_per_1_minute=100)
        await house.said(client)
        await limits.update_rate_limit(
            LIMIT, project_id=project, max_requests_per_1_minute=AMOUNT_MAX
        )
        answer = await client.chat.completions.with_raw_response.create(
            model="scripted", messages=[{"role": "user", "content": "Hello"}]
        )
        assert "x-ratelimit-limit-requests" not in answer.headers


async def test_tokens_of_a_model_are_reserved_and_settled_within_what_was_set() -> None:
    async with house_with(answer_tokens=60) as house:
        project, _, client = await house.key()
        await house.projects.rate_limits.update_rate_limit(
            LIMIT, project_id=project, max_tokens_per_1_minute=100
        )
        # Reserved are 60 and more, used 5.
        for _ in range(3):
            await house.said(client)
        with pytest.raises(openai.RateLimitError) as caught:
            await house.said(client, max_tokens=100)
        assert caught.value.type == "tokens"
        assert caught.value.response.headers["x-ratelimit-limit-tokens"] == "100"


async def test_requests_of_a_day_come_back_evenly() -> None:
    async with house_with() as house:
        project, _, client = await house.key()
        made = await house.projects.rate_limits.update_rate_limit(
            LIMIT, project_id=project, max_requests_per_1_day=2
        )
        assert made.max_requests_per_1_day == 2
        for _ in range(2):
            await house.said(client)
        refused = await refusal(house, client)
        assert "on requests per day (RPD): Limit 2, Used 2" in refused.message
        house.clock.move(3_600)
        await refusal(house, client)
        house.clock.move(math.ceil(86_400 / 2) - 3_600 + 1)
        await house.said(client)
        await refusal(house, client)


async def test_what_is_left_out_of_a_change_stays() -> None:
    async with house_with() as house:
        project, _, _ = await house.key()
        limits = house.projects.rate_limits
        await limits.update_rate_limit(LIMIT, project_id=project, max_requests_per_1_minute=7)
        await limits.update_rate_limit(LIMIT, project_id=project, max_tokens_per_1_minute=70)
        made = await limits.update_rate_limit(LIMIT, project_id=project)
        assert (made.max_requests_per_1_minute, made.max_tokens_per_1_minute) == (7, 70)
        [listed] = [each async for each in limits.list_rate_limits(project) if each.id == LIMIT]
        assert listed == made


async def test_nobody_is_given_more_than_is_configured() -> None:
    configured = {"scripted": {"requests_per_minute": 10}}
    async with house_with(model_tokens_per_minute=500, models=configured) as house:
        project, _, client = await house.key()
        limits = house.projects.rate_limits
        [listed] = [each async for each in limits.list_rate_limits(project) if each.id == LIMIT]
        assert (listed.max_requests_per_1_minute, listed.max_tokens_per_1_minute) == (
            10,
            AMOUNT_MAX,
        )
        with pytest.raises(openai.BadRequestError, match="allows at most 10") as caught:
            await limits.update_rate_limit(LIMIT, project_id=project, max_requests_per_1_minute=11)
        assert caught.value.param == "max_requests_per_1_minute"
        await limits.update_rate_limit(LIMIT, project_id=project, max_requests_per_1_minute=1)
        await house.said(client)
        assert "Limit 1," in (await refusal(house, client)).message


@pytest.mark.parametrize(
    "name",
    [
        *("max_images_per_1_minute", "max_audio_megabytes_per_1_minute"),
        "batch_1_day_max_input_tokens",
    ],
)
async def test_what_is_not_limited_here_is_refused_by_its_name(name: str) -> None:
    async with house_with() as house:
        project, _, _ = await house.key()
        wanted: dict[str, Any] = {name: 5}
        with pytest.raises(openai.BadRequestError, match="does not limit that") as caught:
            await house.projects.rate_limits.update_rate_limit(LIMIT, project_id=project, **wanted)
        assert caught.value.param == name


async def test_wrong_amounts_and_unknown_things_are_refused() -> None:
    async with house_with() as house:
        project, _, _ = await house.key()
        limits = house.projects.rate_limits
        for amount in (0, -1, AMOUNT_MAX + 1):
            with pytest.raises(openai.BadRequestError) as caught:
                await limits.update_rate_limit(
                    LIMIT, project_id=project, max_tokens_per_1_minute=amount
                )
            assert caught.value.param == "max_tokens_per_1_minute"
        with pytest.raises(openai.NotFoundError, match="rate limit"):
            await limits.update_rate_limit("rl-none", project_id=project)
        with pytest.raises(openai.NotFoundError):
            await limits.list_rate_limits("proj_none")
        with pytest.raises(openai.NotFoundError):
            await limits.update_rate_limit(LIMIT, project_id="proj_none")
        with pytest.raises(openai.BadRequestError, match="rl-none"):
            await limits.list_rate_limits(project, after="rl-none")
        await house.projects.archive(project)
        with pytest.raises(openai.BadRequestError, match="archived"):
            await limits.update_rate_limit(LIMIT, project_id=project, max_tokens_per_1_minute=5)
        assert (await limits.list_rate_limits(project)).data


async def test_the_list_is_read_page_by_page_both_ways() -> None:
    aliases = {"a/b": "scripted", "b": "scripted", "c d": "scripted"}
    async with opened(SHORT, *PLUGINS, models={"aliases": aliases}) as house:
        project, _, _ = await house.key()
        limits = house.projects.rate_limits
        whole = [each.id async for each in limits.list_rate_limits(project)]
        assert whole[:1] == ["rl-a~2f~b"]
        assert [each.id async for each in limits.list_rate_limits(project, limit=1)] == whole
        before = await limits.list_rate_limits(project, before=whole[-1], limit=2)
        assert [each.id for each in before.data] == whole[-3:-1]
        between = await limits.list_rate_limits(project, after=whole[0], before=whole[2])
        assert [each.id for each in between.data] == whole[1:2]
        # An id can stand in a path, whatever its model is called.
        made = await limits.update_rate_limit(
            whole[0], project_id=project, max_requests_per_1_minute=5
        )
        assert made.model == "a/b"


def test_no_two_models_have_one_id() -> None:
    names = ["a/b", "a~2f~b", "a_b", "a b", "ab", "a.b", "ä", "a:b"]
    assert len({id_of(name) for name in names}) == len(names)
