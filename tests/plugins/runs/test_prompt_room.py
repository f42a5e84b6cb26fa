"""What a model is shown of a thread and of its run, and what is left out where room is short."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from famulus.testing import Script, ScriptedBackend, faults, tool
from famulus_schemas.inference import ChatRequest, PromptMessage

pytestmark = pytest.mark.anyio

LOOK = {"type": "function", "function": {"name": "look"}}
WEATHER = {"type": "function", "function": {"name": "get_weather"}}
weather = tool("get_weather", {"city": "Oslo"})


def looks(times: int, *, answer: str = "That is all.") -> Callable[[ChatRequest], Script]:
    """A model that calls the client's function so often before it answers."""
    left = times

    def answers(request: ChatRequest) -> Script:
        nonlocal left
        left -= 1
        return Script().calls(tool("look", {"n": left})) if left >= 0 else Script().says(answer)

    return answers


def roles(messages: Sequence[Any]) -> list[str]:
    return [message.role for message in messages]


def words_in(request: ChatRequest) -> int:
    return sum(len(str(message.content or "").split()) for message in request.messages)


def prompts(api: Any) -> list[tuple[PromptMessage, ...]]:
    return [received.chat.messages for received in api.backend.chats]


async def at_rest(api: Any, run: Any, output: str) -> Any:
    """The run once it needs nothing more of its client, who always answers the same."""
    while run["status"] == "requires_action":
        calls = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        response = await api.submit(run, **{call["id"]: output for call in calls})
        run = await api.ended(await api.ok(response))
    return run


def hold_whole(messages: Sequence[PromptMessage]) -> None:
    """Every call has its result right behind it, and no result is without its call."""
    waiting: list[str] = []
    for message in messages:
        if message.role == "tool":
            assert message.tool_call_id == waiting.pop(0)
        else:
            assert not waiting
            waiting = [call.id for call in message.tool_calls or ()]
    assert not waiting


# --- a run's own turns ---------------------------------------------------------------------------


async def test_a_runs_own_turns_take_room_and_the_older_ones_are_left_out(open_api: Any) -> None:
    backend = ScriptedBackend(looks(6), context_tokens=600)
    async with open_api(backend) as api:
        assistant = await api.assistant(tools=[LOOK], instructions="Be good.")
        run = await api.ran(await api.thread("Go."), assistant)
        run = await at_rest(api, run, "word " * 100)
        assert run["status"] == "completed"
        for received in api.backend.chats:
            assert words_in(received.chat) <= 300
            assert roles(received.chat.messages)[:2] == ["system", "user"]
            hold_whole(received.chat.messages)
        *_, call, result = prompts(api)[-1]
        assert call.tool_calls[0].function.arguments == '{"n":0}'
        assert len(str(result.content).split()) == 100


async def test_a_run_whose_newest_turn_does_not_fit_is_incomplete(open_api: Any) -> None:
    backend = ScriptedBackend(looks(3), context_tokens=600)
    async with open_api(backend) as api:
        run = await api.ran(await api.thread("Go."), await api.assistant(tools=[LOOK]))
        run = await at_rest(api, run, "word " * 400)
        assert run["status"] == "incomplete"
        assert run["incomplete_details"] == {"reason": "max_prompt_tokens"}
        assert len(api.backend.chats) == 1
        (step,) = await api.steps(run)
        assert step["status"] == "completed"


async def test_a_budget_of_prompt_tokens_holds_for_all_of_a_runs_requests(open_api: Any) -> None:
    script = Script()
    for _ in range(20):
        script = script.calls(weather)
    async with open_api(script) as api:
        assistant = await api.assistant(tools=[WEATHER])
        run = await api.ran(await api.thread("word " * 60), assistant, max_prompt_tokens=256)
        assert run["status"] == "incomplete"
        assert run["incomplete_details"] == {"reason": "max_prompt_tokens"}
        assert run["usage"]["prompt_tokens"] <= 256
        assert 2 <= len(api.backend.chats) < 5


async def test_what_was_counted_for_a_request_is_not_counted_again_for_the_next(
    open_api: Any,
) -> None:
    counted: list[str] = []

    class Counting(ScriptedBackend):
        async def count_tokens(self, model: str, texts: Sequence[str]) -> list[int]:
            counted.extend(texts)
            return await super().count_tokens(model, texts)

    # The router remembers texts, too: not here, so that all that is asked for is seen.
    async with open_api(Counting(looks(3)), models={"counts_kept_max": 0}) as api:
        assistant = await api.assistant(tools=[LOOK], instructions="Be good.")
        run = await api.ran(await api.thread("One.", "Two."), assistant)
        await at_rest(api, run, "An output.")
        assert counted.count("One.") == 1
        assert counted.count("Be good.") == 1
        assert counted.count('{"n":2}') == 1


# --- a thread's turns ----------------------------------------------------------------------------


async def test_a_later_run_is_shown_what_earlier_ones_called_and_got(open_api: Any) -> None:
    script = Script().says("Let me look.").and_calls(weather).says("Sunny.").says("As I said.")
    async with open_api(script) as api:
        assistant = await api.assistant(tools=[WEATHER])
        thread = await api.thread("How is the weather?")
        await api.ran(thread, assistant)
        await api.server.post(f"/v1/threads/{thread}/messages", {"role": "user", "content": "So?"})
        await api.ran(thread, assistant)
        question, call, result, answer, again = prompts(api)[-1]
        assert (question.content, call.content) == ("How is the weather?", "Let me look.")
        assert call.tool_calls[0].function.name == "get_weather"
        assert (result.role, result.content) == ("tool", "sunny")
        assert result.tool_call_id == call.tool_calls[0].id
        assert (answer.role, answer.content, again.content) == ("assistant", "Sunny.", "So?")


async def test_calls_of_earlier_runs_can_be_left_out(open_api: Any) -> None:
    script = Script().calls(weather).says("Sunny.").says("As I said.")
    async with open_api(script, settings={"prompt_steps_max": 0}) as api:
        assistant = await api.assistant(tools=[WEATHER])
        thread = await api.thread("How is the weather?")
        await api.ran(thread, assistant)
        await api.ran(thread, assistant)
        assert roles(prompts(api)[-1]) == ["user", "assistant"]


async def test_only_the_newest_steps_of_a_thread_are_read(open_api: Any) -> None:
    script = Script()
    for _ in range(3):
        script = script.calls(weather).says("Sunny.")
    async with open_api(script, settings={"prompt_steps_max": 2}) as api:
        assistant = await api.assistant(tools=[WEATHER])
        thread = await api.thread("How is the weather?")
        for _ in range(3):
            await api.ran(thread, assistant)
        shown = prompts(api)[-2]
        assert roles(shown) == ["user", "assistant", "assistant", "tool", "assistant"]
        hold_whole(shown)


async def test_what_was_broken_off_is_shown_with_the_calls_that_were_done(open_api: Any) -> None:
    script = (
        Script()
        .calls(weather)
        .says("It is quite sunny").breaks(faults.reset(), after=2)
        .says("Go on.")
    )  # fmt: skip
    async with open_api(script) as api:
        assistant = await api.assistant(tools=[WEATHER])
        thread = await api.thread("How is the weather?")
        assert (await api.ran(thread, assistant))["status"] == "failed"
        await api.ran(thread, assistant, additional_messages=[{"role": "user", "content": "And?"}])
        shown = prompts(api)[-1]
        assert roles(shown) == ["user", "assistant", "tool", "assistant", "user"]
        assert [shown[3].content, shown[4].content] == ["It is", "And?"]
        hold_whole(shown)


async def test_calls_that_were_never_answered_are_not_shown(open_api: Any) -> None:
    script = Script().says("Wait.").and_calls(tool("look", {})).says("Here I am.")
    async with open_api(script) as api:
        assistant = await api.assistant(tools=[LOOK])
        thread = await api.thread("Look.")
        run = await api.ran(thread, assistant)
        await api.cancel(run)
        await api.ran(thread, assistant)
        assert roles(prompts(api)[-1]) == ["user", "assistant"]
        assert prompts(api)[-1][1].content == "Wait."


@pytest.mark.parametrize("budget", range(256, 420, 20))
async def test_what_does_not_fit_is_left_out_in_whole_turns(open_api: Any, budget: int) -> None:
    async with open_api(Script().says("ok")) as api:
        messages = []
        for n in range(12):
            messages += [
                {"role": "user", "content": f"question {n} " + "word " * 40},
                {"role": "assistant", "content": f"answer {n} " + "word " * (n % 4)},
            ]
        messages.append({"role": "user", "content": "Now?"})
        made = await api.ok(await api.server.post("/v1/threads", {"messages": messages}))
        assistant = await api.assistant(instructions="Stay.")
        await api.ran(made["id"], assistant, max_prompt_tokens=budget)
        system, *shown = prompts(api)[0]
        assert system.content == "Stay."
        assert roles(shown) == ["user", "assistant"] * (len(shown) // 2) + ["user"]
        assert len(shown) > 3
        assert [message.content for message in shown] == [
            message["content"] for message in messages[-len(shown) :]
        ]


async def test_a_run_can_go_on_with_a_turn_that_does_not_fit_as_a_whole(open_api: Any) -> None:
    texts = [f"message {n} " + "word " * 40 for n in range(30)]
    async with open_api(Script().says("Once.").says("Twice.")) as api:
        thread, assistant = await api.thread(*texts), await api.assistant()
        await api.ran(thread, assistant)
        run = await api.ran(thread, assistant, max_prompt_tokens=256)
        assert run["status"] == "completed"
        *asked, answer = prompts(api)[1]
        assert [message.content for message in asked] == texts[-len(asked) :]
        assert answer.content == "Once."
        assert len(asked) > 2


async def test_a_greeting_that_a_thread_begins_with_is_shown_as_long_as_all_of_it_is(
    open_api: Any,
) -> None:
    async with open_api(Script().says("ok").forever()) as api:
        messages = [
            {"role": "assistant", "content": "Welcome!"},
            {"role": "user", "content": "Hello. " + "word " * 130},
            {"role": "assistant", "content": "How can I help?"},
            {"role": "user", "content": "Not at all. " + "word " * 130},
        ]
        made = await api.ok(await api.server.post("/v1/threads", {"messages": messages}))
        assistant = await api.assistant()
        await api.ran(made["id"], assistant)
        await api.ran(made["id"], assistant, max_prompt_tokens=256)
        assert roles(prompts(api)[0]) == ["assistant", "user", "assistant", "user"]
        # The last one is the first run's answer, which the second one goes on with.
        assert roles(prompts(api)[1])[0] == "user"


async def test_the_last_messages_are_as_many_as_the_client_says(open_api: Any) -> None:
    script = Script().calls(weather).says("Sunny.").says("As I said.")
    async with open_api(script) as api:
        assistant = await api.assistant(tools=[WEATHER])
        thread = await api.thread("How is the weather?")
        await api.ran(thread, assistant)
        strategy = {"type": "last_messages", "last_messages": 2}
        more = [{"role": "user", "content": "So?"}]
        await api.ran(thread, assistant, additional_messages=more, truncation_strategy=strategy)
        assert roles(prompts(api)[-1]) == ["assistant", "tool", "assistant", "user"]


async def test_a_thread_over_the_limit_of_messages_is_cut_between_turns(open_api: Any) -> None:
    async with open_api(Script().says("ok"), settings={"prompt_messages_max": 4}) as api:
        messages = [
            {"role": role, "content": f"{role} {n}"}
            for n in range(5)
            for role in ("user", "assistant")
        ]
        messages.append({"role": "user", "content": "Now?"})
        made = await api.ok(await api.server.post("/v1/threads", {"messages": messages}))
        await api.ran(made["id"], await api.assistant())
        assert [message.content for message in prompts(api)[0]] == [
            "user 4",
            "assistant 4",
            "Now?",
        ]


# --- a context that is smaller than was thought --------------------------------------------------


async def test_a_prompt_that_is_refused_as_too_long_is_cut_once_more(open_api: Any) -> None:
    script = Script().fails(faults.too_long()).says("ok")
    async with open_api(script) as api:
        thread = await api.thread(*(f"message {n} " + "word " * 20 for n in range(10)))
        run = await api.ran(thread, await api.assistant())
        assert run["status"] == "completed"
        first, second = prompts(api)
        assert len(second) < len(first)
        assert second == first[-len(second) :]


async def test_a_prompt_that_is_too_long_even_then_leaves_the_run_incomplete(
    open_api: Any,
) -> None:
    async with open_api(Script().fails(faults.too_long()).forever()) as api:
        thread = await api.thread(*(f"message {n} " + "word " * 20 for n in range(10)))
        run = await api.ran(thread, await api.assistant())
        assert run["status"] == "incomplete"
        assert run["incomplete_details"] == {"reason": "max_prompt_tokens"}
        assert run["last_error"] is None
        assert len(api.backend.chats) == 2
        assert await api.messages(thread, run_id=run["id"]) == []


async def test_a_prompt_of_one_message_is_not_asked_twice(open_api: Any) -> None:
    async with open_api(Script().fails(faults.too_long()).forever()) as api:
        run = await api.ran(await api.thread("hi"), await api.assistant())
        assert run["incomplete_details"] == {"reason": "max_prompt_tokens"}
        assert len(api.backend.chats) == 1


async def test_an_answer_is_limited_to_what_the_context_can_hold(open_api: Any) -> None:
    async with open_api(ScriptedBackend(Script().says("ok"), context_tokens=1_000)) as api:
        thread = await api.thread("word " * 100)
        await api.ran(thread, await api.assistant(), max_completion_tokens=5_000)
        assert 500 < api.backend.chats[0].chat.max_tokens <= 900


# --- a budget of completion tokens ---------------------------------------------------------------


@pytest.mark.parametrize("written", [256, 300])
async def test_a_run_that_has_written_all_that_it_may_is_not_asked_again(
    open_api: Any, written: int
) -> None:
    script = Script().calls(weather).uses(10, written).says("never")
    async with open_api(script) as api:
        assistant = await api.assistant(tools=[WEATHER])
        run = await api.ran(await api.thread("hi"), assistant, max_completion_tokens=256)
        assert run["status"] == "incomplete"
        assert run["incomplete_details"] == {"reason": "max_completion_tokens"}
        assert run["usage"]["completion_tokens"] == written
        assert len(api.backend.chats) == 1
        (step,) = await api.steps(run)
        assert step["status"] == "failed"
        assert "max_completion_tokens" in step["last_error"]["message"]
        assert step["usage"]["completion_tokens"] == written


async def test_a_client_is_not_asked_to_run_what_nobody_can_read(open_api: Any) -> None:
    script = Script().calls(tool("look", {})).uses(10, 256)
    async with open_api(script) as api:
        assistant = await api.assistant(tools=[LOOK])
        run = await api.ran(await api.thread("hi"), assistant, max_completion_tokens=256)
        assert (run["status"], run["required_action"]) == ("incomplete", None)


async def test_each_turn_may_write_what_those_before_have_left(open_api: Any) -> None:
    script = Script().calls(weather).uses(10, 200).says("Sunny.").uses(10, 56)
    async with open_api(script) as api:
        assistant = await api.assistant(tools=[WEATHER])
        run = await api.ran(await api.thread("hi"), assistant, max_completion_tokens=256)
        assert [received.chat.max_tokens for received in api.backend.chats] == [256, 56]
        assert run["status"] == "completed"


async def test_a_run_whose_server_wrote_more_than_it_was_to_is_incomplete(open_api: Any) -> None:
    async with open_api(Script().says("All of this.").uses(10, 257)) as api:
        run = await api.ran(
            await api.thread("hi"), await api.assistant(), max_completion_tokens=256
        )
        assert run["status"] == "incomplete"
        assert run["incomplete_details"] == {"reason": "max_completion_tokens"}


# --- ids of calls --------------------------------------------------------------------------------


async def test_an_id_that_a_model_gives_twice_is_made_another(open_api: Any) -> None:
    twice = [tool("look", {"n": n}, id="call_0") for n in (1, 2)]
    script = Script().calls(*twice).calls(tool("look", {"n": 3}, id="call_0")).says("Done.")
    async with open_api(script) as api:
        run = await api.ran(await api.thread("hi"), await api.assistant(tools=[LOOK]))
        ids = []
        while run["status"] == "requires_action":
            calls = run["required_action"]["submit_tool_outputs"]["tool_calls"]
            here = {call["id"]: f"of {call['function']['arguments']}" for call in calls}
            assert len(here) == len(calls)
            ids += list(here)
            run = await api.ended(await api.ok(await api.submit(run, **here)))
        assert run["status"] == "completed"
        assert ids[0] == "call_0"
        assert len(set(ids)) == 3
        shown = prompts(api)[-1]
        hold_whole(shown)
        called = [call for message in shown for call in message.tool_calls or ()]
        results = {m.tool_call_id: m.content for m in shown if m.role == "tool"}
        assert {call.id: f"of {call.function.arguments}" for call in called} == results
