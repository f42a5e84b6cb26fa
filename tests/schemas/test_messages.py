"""Messages: content parts, attachments, annotations and the object."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from famulus_schemas.messages import (
    Annotation,
    Attachment,
    CreateMessage,
    FileCitation,
    FileCitationAnnotation,
    FilePath,
    FilePathAnnotation,
    FileSearchToolTypeOnly,
    ImageFile,
    ImageFileContentBlock,
    ImageURL,
    ImageURLContentBlock,
    Message,
    MessageContent,
    MessageIncompleteDetails,
    MessageListQuery,
    ModifyMessage,
    RefusalContentBlock,
    RequestContent,
    Text,
    TextContentBlock,
    TextContentBlockParam,
)
from famulus_schemas.tools import CodeInterpreterTool

IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
PLACE = {"text": "[1]", "start_index": 0, "end_index": 3}


def test_content_is_text_or_parts(accepts: Any) -> None:
    assert accepts(RequestContent, "hello") == "hello"
    parts = [
        {"type": "text", "text": "hello"},
        {"type": "image_file", "image_file": {"file_id": "file-1", "detail": "low"}},
        IMAGE,
    ]
    assert accepts(RequestContent, parts) == [
        TextContentBlockParam(text="hello"),
        ImageFileContentBlock(image_file=ImageFile(file_id="file-1", detail="low")),
        ImageURLContentBlock(image_url=ImageURL(url="https://example.org/a.png", detail="auto")),
    ]


@pytest.mark.parametrize(
    ("content", "at"),
    [
        (None, "`str | array`"),
        ([], "length >= 1"),
        (["hello"], "$[0]"),
        ([{"type": "refusal", "refusal": "no"}], "$[0].type"),
        ([{"type": "text", "text": {"value": "hello", "annotations": []}}], "$[0].text"),
        ([{"type": "image_url", "image_url": {"url": "a.png"}}], "$[0].image_url.url"),
        ([{"type": "image_url", "image_url": {"url": "a:\x08b"}}], "$[0].image_url.url"),
        ([{"type": "image_url", "image_url": {"url": "a:\ufeffb"}}], "$[0].image_url.url"),
        ([{"type": "image_file", "image_file": {}}], "$[0].image_file"),
        ([{**IMAGE, "alt": "a"}], "alt"),
        ([{"type": "image_file", "image_file": {"file_id": "f", "detail": "max"}}], "detail"),
    ],
)
def test_other_content_is_refused(refuses: Any, content: object, at: str) -> None:
    refuses(RequestContent, content, at)


def test_a_message_has_a_role_and_content(accepts: Any, refuses: Any) -> None:
    for role in ("user", "assistant"):
        assert accepts(CreateMessage, {"role": role, "content": "x"}).role == role
    refuses(CreateMessage, {"role": "system", "content": "x"}, "$.role")
    refuses(CreateMessage, {"role": "user"}, "content")
    refuses(CreateMessage, {"content": "x"}, "role")
    refuses(CreateMessage, {"role": "user", "content": "x", "file_ids": []}, "file_ids")
    refuses(CreateMessage, {"role": "user", "content": "x", "metadata": {"": "v"}}, "metadata")


def test_an_attachment_names_a_file_and_its_tools(accepts: Any, refuses: Any) -> None:
    tools = [{"type": "code_interpreter"}, {"type": "file_search"}]
    assert accepts(Attachment, {"file_id": "file-1", "tools": tools}) == Attachment(
        file_id="file-1", tools=[CodeInterpreterTool(), FileSearchToolTypeOnly()]
    )
    assert accepts(Attachment, {"file_id": "file-1"}) == Attachment(file_id="file-1", tools=[])
    assert accepts(Attachment, {"tools": []}).file_id is UNSET
    refuses(Attachment, {"file_id": None}, "$.file_id")
    refuses(Attachment, {"file_id": "f", "tools": [{"type": "function"}]}, "$.tools[0].type")
    settings = {"type": "file_search", "file_search": {}}
    refuses(Attachment, {"file_id": "f", "tools": [settings]}, "$.tools[0]")


def test_modification_tells_null_from_absent(accepts: Any, refuses: Any) -> None:
    assert accepts(ModifyMessage, {}).metadata is UNSET
    assert accepts(ModifyMessage, {"metadata": None}).metadata is None
    refuses(ModifyMessage, {"content": "x"}, "content")


def test_the_list_can_be_narrowed_to_one_run() -> None:
    query = msgspec.convert({"run_id": "run_1", "limit": "2"}, MessageListQuery, strict=False)
    assert (query.run_id, query.limit, query.order) == ("run_1", 2, "desc")
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"limit": "101"}, MessageListQuery, strict=False)


def test_the_tag_chooses_the_part(accepts: Any, refuses: Any) -> None:
    cited = {"type": "text", "text": {"value": "see [1]", "annotations": []}}
    assert accepts(MessageContent, cited) == TextContentBlock(text=Text(value="see [1]"))
    refusal = {"type": "refusal", "refusal": "no"}
    assert accepts(MessageContent, refusal) == RefusalContentBlock(refusal="no")
    assert isinstance(accepts(MessageContent, IMAGE), ImageURLContentBlock)
    refuses(MessageContent, {"type": "audio"}, "$.type")


def test_the_tag_chooses_the_annotation(accepts: Any, refuses: Any) -> None:
    citation = {"type": "file_citation", "file_citation": {"file_id": "file-1"}, **PLACE}
    assert accepts(Annotation, citation) == FileCitationAnnotation(
        text="[1]", file_citation=FileCitation(file_id="file-1"), start_index=0, end_index=3
    )
    path = {"type": "file_path", "file_path": {"file_id": "file-1"}, **PLACE}
    assert accepts(Annotation, path) == FilePathAnnotation(
        text="[1]", file_path=FilePath(file_id="file-1"), start_index=0, end_index=3
    )
    refuses(Annotation, {**path, "start_index": -1}, "$.start_index")
    refuses(Annotation, {**path, "end_index": -1}, "$.end_index")


@pytest.mark.parametrize(
    "reason", ["content_filter", "max_tokens", "run_cancelled", "run_expired", "run_failed"]
)
def test_a_message_ends_early_for_a_reason(accepts: Any, reason: str) -> None:
    assert accepts(MessageIncompleteDetails, {"reason": reason}).reason == reason


def test_a_message_ends_early_for_no_other_reason(refuses: Any) -> None:
    refuses(MessageIncompleteDetails, {"reason": "bored"}, "$.reason")


def test_a_message_always_sends_all_its_fields() -> None:
    message = Message(
        id="msg_1", created_at=1, thread_id="thread_1", status="completed", role="user"
    )
    assert msgspec.to_builtins(message) == {
        "id": "msg_1",
        "object": "thread.message",
        "created_at": 1,
        "thread_id": "thread_1",
        "status": "completed",
        "incomplete_details": None,
        "completed_at": None,
        "incomplete_at": None,
        "role": "user",
        "content": [],
        "assistant_id": None,
        "run_id": None,
        "attachments": [],
        "metadata": {},
    }


def test_a_part_sends_its_type_and_its_annotations() -> None:
    block = TextContentBlock(text=Text(value="hello"))
    assert msgspec.to_builtins(block) == {
        "type": "text",
        "text": {"value": "hello", "annotations": []},
    }
