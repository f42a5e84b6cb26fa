"""What a stream comes to, as the official clients add it up."""

from __future__ import annotations

from typing import Any


def added_up(events: list[Any]) -> Any:
    """What a client has after these events: every item as its deltas make it, and who ended how."""
    items: dict[str, Any] = {}
    told = []
    for event in events:
        if event.name == "done":
            told.append("done")
            continue
        data = event.json()
        opens_step = event.name == "thread.run.step.created" and data["type"] == "tool_calls"
        if opens_step or event.name == "thread.message.created":
            items[data["id"]] = []
        if event.name == "thread.message.delta":
            for block in data["delta"]["content"]:
                add_entry(items[data["id"]], block)
        elif event.name == "thread.run.step.delta":
            for call in data["delta"]["step_details"]["tool_calls"]:
                add_entry(items[data["id"]], call)
        else:
            told.append(event.name)
    return {id: _as_text(parts) for id, parts in items.items()}, told


def add_entry(entries: list[Any], entry: Any) -> None:
    """Add to the entry of that index, which may be the next one."""
    if entry["index"] == len(entries):
        entries.append({})
    _add(entries[entry["index"]], entry)


def _add(so_far: dict[str, Any], more: dict[str, Any]) -> None:
    """As the clients do: strings grow, entries of lists are found by their index."""
    for key, value in more.items():
        if key in ("index", "type") or so_far.get(key) is None:
            so_far[key] = (
                {} if isinstance(value, dict) else [] if isinstance(value, list) else value
            )
            if not isinstance(value, (dict, list)):
                continue
        if isinstance(value, dict):
            _add(so_far[key], value)
        elif isinstance(value, list):
            for entry in value:
                add_entry(so_far[key], entry)
        elif isinstance(value, str):
            so_far[key] += value


def _as_text(parts: list[Any]) -> Any:
    """A message of nothing but text, or calls of nothing but functions, as that text."""
    text = ""
    for part in parts:
        if part["type"] == "text" and not part["text"].get("annotations"):
            text += part["text"]["value"]
        elif part["type"] == "function":
            function = part["function"]
            text += part["id"] + function["name"] + function["arguments"]
        else:
            return parts
    return text
