"""What a stream comes to, as the official clients add it up."""

from __future__ import annotations

from typing import Any


def added_up(events: list[Any]) -> Any:
    """What a client has after these events: texts and arguments by item, and who ended how."""
    items: dict[str, str] = {}
    told = []
    for event in events:
        if event.name == "done":
            told.append("done")
            continue
        data = event.json()
        opens_step = event.name == "thread.run.step.created" and data["type"] == "tool_calls"
        if opens_step or event.name == "thread.message.created":
            items[data["id"]] = ""
        if event.name == "thread.message.delta":
            for block in data["delta"]["content"]:
                items[data["id"]] += block["text"]["value"]
        elif event.name == "thread.run.step.delta":
            for call in data["delta"]["step_details"]["tool_calls"]:
                function = call["function"]
                items[data["id"]] += call.get("id", "") + function.get("name", "")
                items[data["id"]] += function.get("arguments", "")
        else:
            told.append(event.name)
    return items, told
