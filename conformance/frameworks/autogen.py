"""AutoGen's OpenAIAssistantAgent: ask, call a function, answer.

Reads OPENAI_BASE_URL, OPENAI_API_KEY and MODEL; prints one line of JSON with what was said.
"""

from __future__ import annotations

import asyncio
import json
import os

from autogen_agentchat.messages import TextMessage
from autogen_core import CancellationToken
from autogen_ext.agents.openai import OpenAIAssistantAgent
from openai import AsyncOpenAI

cities: list[str] = []


async def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    cities.append(city)
    return "17 degrees"


async def main() -> None:
    agent = OpenAIAssistantAgent(
        name="Guide",
        description="Knows the weather.",
        client=AsyncOpenAI(),
        model=os.environ["MODEL"],
        instructions="Be brief.",
        tools=[get_weather],
    )
    token = CancellationToken()
    said = []
    for asked in ("Say Lagos 731", "What is the weather in Reykjavik?", "Say once more"):
        message = TextMessage(source="user", content=asked)
        said.append((await agent.on_messages([message], token)).chat_message.to_text())
    await agent.delete_assistant(token)
    print(json.dumps({"said": said, "cities": cities}))


asyncio.run(main())
