"""What a scenario is played with in Python, and how it says that something does not hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import openai

from famulus_conformance.scenarios_model import GET_WEATHER, Model

Note = Callable[..., None]
"""Is told what an event handler is told: the name after `on_`, and its arguments."""


class Unkept(Exception):
    """Something does not hold; says what."""


@dataclass(frozen=True)
class Stage:
    """A client to play with, as if it were the synchronous one, whichever it is."""

    client: Any
    model: Model
    handler: Callable[[Note], Any]
    """Makes an event handler of the client's kind."""
    is_strict: bool = False
    """Whether it validates answers by its types, which know neither vectors in base64 nor chunks
    of a completion: those of OpenAI itself do not fit them."""

    def assistant(self, **fields: Any) -> str:
        """The id of a new assistant that answers the same each time."""
        made = self.client.beta.assistants.create(model=self.model.id, temperature=0, **fields)
        return str(made.id)

    def thread(self, *texts: str) -> str:
        """The id of a new thread with these messages of a user."""
        return str(self.client.beta.threads.create(messages=users(*texts)).id)

    def newest(self, thread_id: str) -> str:
        """The text of a thread's last message, which is an assistant's."""
        message = self.client.beta.threads.messages.list(thread_id, limit=1).data[0]
        same((message.role, message.status), ("assistant", "completed"), "the last message")
        return text_of(message)

    def waiting(self, content: str) -> Any:
        """A run that waits for the outputs of functions."""
        run = self.client.beta.threads.create_and_run_poll(
            assistant_id=self.assistant(tools=[GET_WEATHER]), thread={"messages": users(content)}
        )
        same(run.status, "requires_action", "the run's status")
        return run

    def is_right(self, asked: str, text: str | None) -> None:
        """Hold an answer to what the model is known to say."""
        holds(self.model.is_right(asked, text), f"{text!r} is no answer to {asked!r}")

    def are_arguments(self, found: Any, due: Any) -> None:
        """Hold the arguments of a call to what was asked for."""
        if self.model.arguments_vary:
            holds(isinstance(found, dict) and found.keys() == due.keys(), f"arguments: {found!r}")
        else:
            same(found, due, "the arguments")


Play = Callable[[Stage], None]


def users(*texts: str) -> Any:
    """Messages of a user."""
    return [{"role": "user", "content": text} for text in texts]


def text_of(message: Any) -> str:
    """All that a message says."""
    return "".join(part.text.value for part in message.content if part.type == "text")


def calls_of(run: Any) -> Sequence[Any]:
    """The calls whose outputs a run waits for."""
    same(run.required_action.type, "submit_tool_outputs", "the required action")
    calls: Sequence[Any] = run.required_action.submit_tool_outputs.tool_calls
    return calls


def outputs_for(run: Any, output: str) -> Any:
    """The same output for each of the calls that a run waits for."""
    return [{"tool_call_id": call.id, "output": output} for call in calls_of(run)]


def same(found: Any, due: Any, what: str) -> None:
    """Raises Unkept where they differ."""
    if found != due:
        raise Unkept(f"{what}: {found!r}, not {due!r}")


def holds(is_so: object, what: str) -> None:
    """Raises Unkept, with what is wrong, where it is not so."""
    if not is_so:
        raise Unkept(what)


Refusal = TypeVar("Refusal", bound=openai.APIError)


def refused(kind: type[Refusal], ask: Callable[[], Any]) -> Refusal:
    """The error of this class that asking raises. Raises Unkept where it does not."""
    try:
        answer = ask()
    except kind as error:
        return error
    except openai.APIError as error:
        raise Unkept(f"{type(error).__name__}, not {kind.__name__}: {error}") from error
    raise Unkept(f"it was answered, though a {kind.__name__} was due: {answer!r:.200}")
