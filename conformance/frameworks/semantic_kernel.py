"""Semantic Kernel's OpenAIAssistantAgent: ask, call a function, answer, and stream.

Reads OPENAI_BASE_URL, OPENAI_API_KEY and MODEL; prints one line of JSON with what was said.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Annotated

# This file has the framework's name.
sys.path = [each for each in sys.path if each != os.path.dirname(os.path.abspath(__file__))]

from openai import AsyncOpenAI  # noqa: E402
from semantic_kernel.agents import AssistantAgentThread, OpenAIAssistantAgent  # noqa: E402
from semantic_kernel.functions import kernel_function  # noqa: E402

cities: list[str] = []


class Weather:
    """A plugin of one function."""

    @kernel_function(name="get_weather", description="Tell the weather of a city.")
    def get_weather(self, city: Annotated[str, "The city."]) -> Annotated[str, "The weather."]:
        cities.append(city)
        return "17 degrees"


async def main() -> None:
    client = AsyncOpenAI()
    definition = await client.beta.assistants.create(
        model=os.environ["MODEL"], name="Guide", instructions="Be brief."
    )
    agent = OpenAIAssistantAgent(client=client, definition=definition, plugins=[Weather()])
    thread = AssistantAgentThread(client=client)
    said = []
    for asked in ("Say Lagos 731", "What is the weather in Reykjavik?"):
        answer = await agent.get_response(messages=asked, thread=thread)
        said.append(str(answer.content))
    pieces = [
        str(piece.content)
        async for piece in agent.invoke_stream(messages="Say once more", thread=thread)
    ]
    said.append("".join(pieces))
    await thread.delete()
    await client.beta.assistants.delete(agent.id)
    print(json.dumps({"said": said, "cities": cities}))


asyncio.run(main())
