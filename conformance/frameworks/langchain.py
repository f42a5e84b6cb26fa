"""LangChain's OpenAIAssistantRunnable: ask, call a function, answer.

Reads OPENAI_BASE_URL, OPENAI_API_KEY and MODEL; prints one line of JSON with what was said.
"""

from __future__ import annotations

import json
import os

from langchain_classic.agents.openai_assistant import OpenAIAssistantRunnable
from langchain_core.agents import AgentFinish
from langchain_core.tools import tool

cities: list[str] = []


@tool
def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    cities.append(city)
    return "17 degrees"


agent = OpenAIAssistantRunnable.create_assistant(
    name="Guide",
    instructions="Be brief.",
    tools=[get_weather],
    model=os.environ["MODEL"],
    as_agent=True,
    check_every_ms=50,
)
greeted = agent.invoke({"content": "Say Lagos 731"})

# The loop of its own documentation.
found = agent.invoke({"content": "What is the weather in Reykjavik?"})
while not isinstance(found, AgentFinish):
    steps = [(action, get_weather.invoke(action.tool_input)) for action in found]
    last = found[-1]
    found = agent.invoke(
        {"intermediate_steps": steps, "run_id": last.run_id, "thread_id": last.thread_id}
    )

# And on with the same thread.
again = agent.invoke({"content": "Say once more", "thread_id": found.thread_id})
said = [each.return_values["output"] for each in (greeted, found, again)]
print(json.dumps({"said": said, "cities": cities}))
