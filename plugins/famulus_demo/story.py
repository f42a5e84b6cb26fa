"""The conversation: what somebody would type who meets the Assistants API for the first time."""

from __future__ import annotations

from collections.abc import Generator

from openai import AssistantEventHandler, OpenAI
from openai.types.beta.threads import Run, Text, TextDelta


def story(client: OpenAI, model: str) -> Generator[Run | None, None, None]:
    """Each step stands between two yields, which `famulus demo` does not show.

    What is yielded is a run that must have completed, or nothing.
    """
    # Which models can be asked?
    for served in client.models.list():
        print(served.id)

    yield None
    # An assistant is a model with instructions, kept by the server.
    assistant = client.beta.assistants.create(
        model=model,
        name="Guide",
        instructions="You are a friendly guide. Answer in one or two short sentences.",
    )
    print(assistant.id, assistant.model)

    yield None
    # A thread is a conversation, kept by the server too.
    thread = client.beta.threads.create()
    print(thread.id)

    yield None
    # Say something in it.
    message = client.beta.threads.messages.create(
        thread.id, role="user", content="Hello! My name is Ada, and I like lighthouses."
    )
    print(message.id, message.role)

    yield None
    # Run the assistant on the thread, and wait for the answer.
    run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
    print(run.status, run.usage)

    yield run
    # The answer is a message of the thread.
    for message in client.beta.threads.messages.list(thread.id, order="asc"):
        for part in message.content:
            if part.type == "text":
                print(f"{message.role}: {part.text.value}")

    yield None
    # Ask about something that it must first be told, and read the answer while it is written.
    client.beta.threads.messages.create(
        thread.id,
        role="user",
        content="Context: The lighthouse of Port Ada was built in 1871 by nine sailors. "
        "Its light is seen from 23 miles away.\n\n"
        "Question: From how many miles away is its light seen?",
    )

    class Typewriter(AssistantEventHandler):
        def on_text_delta(self, delta: TextDelta, snapshot: Text) -> None:
            print(delta.value, end="", flush=True)

    with client.beta.threads.runs.stream(
        thread_id=thread.id, assistant_id=assistant.id, event_handler=Typewriter()
    ) as stream:
        stream.until_done()
    print()

    yield stream.get_final_run()
    # What did the run do? Its steps say.
    run = client.beta.threads.runs.list(thread.id).data[0]
    for step in client.beta.threads.runs.steps.list(run.id, thread_id=thread.id):
        print(step.type, step.status, step.usage)

    yield None
    # The thread remembers what was said in it.
    client.beta.threads.messages.create(thread.id, role="user", content="What is my name?")
    with client.beta.threads.runs.stream(
        thread_id=thread.id, assistant_id=assistant.id, event_handler=Typewriter()
    ) as stream:
        stream.until_done()
    print()

    yield stream.get_final_run()
    # Leave nothing behind.
    print(client.beta.threads.delete(thread.id).deleted)
    print(client.beta.assistants.delete(assistant.id).deleted)

    yield None
