"""Assistants: creation, modification and the object."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from famulus_schemas.assistants import Assistant, CreateAssistant, ModifyAssistant

CODE = {"type": "code_interpreter"}


def test_only_the_model_is_needed(accepts: Any, refuses: Any) -> None:
    assert accepts(CreateAssistant, {"model": "m"}) == CreateAssistant(model="m")
    refuses(CreateAssistant, {}, "model")


def test_an_unknown_key_is_refused(refuses: Any) -> None:
    refuses(CreateAssistant, {"model": "m", "file_ids": []}, "file_ids")
    refuses(ModifyAssistant, {"id": "asst_1"}, "id")


@pytest.mark.parametrize(
    ("field", "most"), [("name", 256), ("description", 512), ("instructions", 256_000)]
)
def test_texts_have_their_limits(accepts: Any, refuses: Any, field: str, most: int) -> None:
    for kind in (CreateAssistant, ModifyAssistant):
        accepts(kind, {"model": "m", field: "x" * most})
        accepts(kind, {"model": "m", field: None})
        refuses(kind, {"model": "m", field: "x" * (most + 1)}, f"$.{field}")


@pytest.mark.parametrize("kind", [CreateAssistant, ModifyAssistant])
def test_tools_are_at_most_128_and_never_null(accepts: Any, refuses: Any, kind: Any) -> None:
    accepts(kind, {"model": "m", "tools": [CODE] * 128})
    refuses(kind, {"model": "m", "tools": [CODE] * 129}, "$.tools")
    refuses(kind, {"model": "m", "tools": None}, "$.tools")


@pytest.mark.parametrize("kind", [CreateAssistant, ModifyAssistant])
@pytest.mark.parametrize(("field", "most"), [("temperature", 2), ("top_p", 1)])
def test_sampling_is_limited(
    accepts: Any, refuses: Any, kind: Any, field: str, most: float
) -> None:
    for fine in (0, most, None):
        accepts(kind, {"model": "m", field: fine})
    for bad in (-0.1, most + 0.1):
        refuses(kind, {"model": "m", field: bad}, f"$.{field}")


@pytest.mark.parametrize("effort", ["none", "minimal", "low", "medium", "high", "xhigh", "max"])
def test_reasoning_effort_is_taken(accepts: Any, effort: str) -> None:
    assert accepts(CreateAssistant, {"model": "m", "reasoning_effort": effort}).reasoning_effort


def test_reasoning_effort_is_not_told_again(refuses: Any) -> None:
    assert "reasoning_effort" not in Assistant.__struct_fields__
    refuses(CreateAssistant, {"model": "m", "reasoning_effort": "huge"}, "$.reasoning_effort")


def test_metadata_is_limited(refuses: Any) -> None:
    many = {f"key{n}": "v" for n in range(17)}
    refuses(CreateAssistant, {"model": "m", "metadata": many}, "$.metadata")
    refuses(ModifyAssistant, {"metadata": many}, "$.metadata")


def test_modification_tells_null_from_absent(accepts: Any) -> None:
    untouched = accepts(ModifyAssistant, {})
    assert all(getattr(untouched, field) is UNSET for field in ModifyAssistant.__struct_fields__)
    nullable = set(ModifyAssistant.__struct_fields__) - {"model", "tools"}
    cleared = accepts(ModifyAssistant, dict.fromkeys(nullable))
    assert all(getattr(cleared, field) is None for field in nullable)
    assert cleared.model is UNSET


def test_the_model_of_an_assistant_cannot_be_cleared(refuses: Any) -> None:
    refuses(ModifyAssistant, {"model": None}, "$.model")


def test_an_assistant_always_sends_all_its_fields() -> None:
    assistant = Assistant(id="asst_1", created_at=1, model="m")
    assert msgspec.to_builtins(assistant) == {
        "id": "asst_1",
        "object": "assistant",
        "created_at": 1,
        "name": None,
        "description": None,
        "model": "m",
        "instructions": None,
        "tools": [],
        "tool_resources": None,
        "metadata": {},
        "temperature": 1.0,
        "top_p": 1.0,
        "response_format": "auto",
    }


def test_an_assistant_from_a_later_version_is_still_read(accepts: Any) -> None:
    body = {"id": "asst_1", "created_at": 1, "model": "m", "colour": "blue"}
    assert accepts(Assistant, body) == Assistant(id="asst_1", created_at=1, model="m")
