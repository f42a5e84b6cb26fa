"""What was said in a thread, as text."""

from __future__ import annotations

from openai import OpenAI
from openai.types.beta.threads import Message


def text_of(message: Message) -> str:
    """All that a message says."""
    return "".join(part.text.value for part in message.content if part.type == "text")


def newest(client: OpenAI, thread_id: str) -> str:
    """The text of the thread's last message, which is an assistant's."""
    message = client.beta.threads.messages.list(thread_id, limit=1).data[0]
    assert (message.role, message.status) == ("assistant", "completed")
    return text_of(message)
