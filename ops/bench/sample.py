"""The bodies that are sent and stored, of the sizes that conversations have."""

from __future__ import annotations

import json

TEXT = (
    "Could you look at the attached figures and tell me, in a few plain sentences, what changed "
    "since the last quarter, which of the regions did better than planned, and what you would "
    "look into next? Please keep to what the figures show. Where something cannot be told from "
    "them, say so. "
)
"""A message as people write it, about 300 characters."""

CREATE_MESSAGE = json.dumps(
    {"role": "user", "content": TEXT * 2, "metadata": {"source": "bench", "customer": "c-1042"}}
).encode()
"""The body of a POST, about 700 bytes."""

CLIENT_HEADERS = {
    "accept-encoding": "gzip, deflate",
    "connection": "keep-alive",
    "authorization": "Bearer sk-fam-0000000000000000000000000000000000000000000",
    "accept": "application/json",
    "user-agent": "OpenAI/Python 3.54.0",
    "x-stainless-lang": "python",
    "x-stainless-package-version": "3.54.0",
    "x-stainless-os": "Linux",
    "x-stainless-arch": "x64",
    "x-stainless-runtime": "CPython",
    "x-stainless-runtime-version": "3.11.7",
    "x-stainless-async": "false",
    "openai-beta": "assistants=v2",
    "x-stainless-retry-count": "0",
    "x-stainless-read-timeout": "600",
}
"""What the official client for Python sends with a GET, beside the host."""

CREATE_ASSISTANT = b'{"model":"famulus-builtin","name":"Bench","instructions":"Be brief."}'
"""The body of a small assistant."""

MESSAGE = json.dumps(
    {
        "id": "msg_000000000000000000000000",
        "object": "thread.message",
        "created_at": 1_700_000_000,
        "thread_id": "thread_000000000000000000000000",
        "status": "completed",
        "incomplete_details": None,
        "completed_at": 1_700_000_000,
        "incomplete_at": None,
        "role": "user",
        "content": [{"type": "text", "text": {"value": TEXT * 2, "annotations": []}}],
        "assistant_id": None,
        "run_id": None,
        "attachments": [],
        "metadata": {"source": "bench", "customer": "c-1042"},
    }
)
"""What is stored of it, about 1 KB."""


def chat(model: str, *, stream: bool) -> bytes:
    """The body of a chat completion."""
    body = {
        "model": model,
        "messages": [
            {"role": "system", "content": "You answer in plain sentences."},
            {"role": "user", "content": TEXT},
        ],
        "temperature": 0.7,
    }
    if stream:
        body["stream"] = True
    return json.dumps(body, separators=(",", ":")).encode()
