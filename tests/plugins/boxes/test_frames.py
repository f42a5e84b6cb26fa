"""Whatever a box sends is a reply of ours, or the end of the box."""

from __future__ import annotations

import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus_boxes.cell import CellOutputs
from famulus_boxes.frames import BLOB_BYTES_MAX, HEAD_BYTES_MAX, ForgedFrame, FrameReader, Reply
from famulus_boxes.paths import checked, is_path
from famulus_schemas.sandbox import (
    BoxFileRefused,
    CellLimits,
    CutOutput,
    EndOutput,
    ErrorOutput,
    FilesOutput,
    ImageOutput,
    ResultOutput,
    TextOutput,
)


def frame(head: bytes, blob: bytes = b"") -> bytes:
    return struct.pack("!II", len(head), len(blob)) + head + blob


def test_frames_are_read_however_they_are_cut() -> None:
    data = frame(b'{"id":1,"kind":"data"}', b"xyz") + frame(b'{"id":1,"kind":"done","size":3}')
    reader, found = FrameReader(), []
    for at in range(len(data)):
        reader.feed(data[at : at + 1])
        while (one := reader.next()) is not None:
            found.append(one)
    assert found == [(Reply(id=1, kind="data"), b"xyz"), (Reply(id=1, kind="done", size=3), b"")]


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("!II", HEAD_BYTES_MAX + 1, 0),
        struct.pack("!II", 0, BLOB_BYTES_MAX + 1),
        struct.pack("!II", 0xFFFFFFFF, 0xFFFFFFFF),
        frame(b""),
        frame(b"null"),
        frame(b"[" * 200_000),
        frame(b'{"id":' + b"[" * 200_000),
        frame(b'{"x":' + b'{"x":' * 150_000),
        frame(b'{"id":1}'),
        frame(b'{"id":1,"kind":"run"}'),
        frame(b'{"id":1,"kind":"done","more":1}'),
        frame(b'{"id":1,"kind":"done","size":-1}'),
        frame(b'{"id":1,"kind":"done","size":1e999}'),
        frame(b'{"id":1,"kind":"done","size":99999999999999999999999999}'),
        frame(b'{"id":1,"kind":"result","text":"\\ud800"}'),
        frame(b'{"id":1,"kind":"result","text":"\xff\xfe"}'),
        frame(b'{"id":1,"kind":"result","text":{"a":1}}'),
        frame(b'{"id":true,"kind":"done"}'),
        frame(b'{"id":1,"kind":"done"} {}'),
    ],
)
def test_what_is_no_frame_of_ours_is_forged(data: bytes) -> None:
    reader = FrameReader()
    reader.feed(data)
    with pytest.raises(ForgedFrame):
        reader.next()


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_forged(head: bytes, blob: bytes) -> None:
    reader = FrameReader()
    reader.feed(frame(head, blob))
    try:
        found = reader.next()
    except ForgedFrame:
        return
    assert found is not None
    assert found[1] == blob


# -- replies to a cell ---------------------------------------------------------------------------

LIMITS = CellLimits(stream_bytes=100, images_max=2, image_bytes=1000, changes_max=3)
PNG = b"\x89PNG\r\n\x1a\n"


def told(*replies: tuple[Reply, bytes] | Reply) -> list[object]:
    """What a cell of these replies gives."""
    outputs, found = CellOutputs(LIMITS), []
    for each in replies:
        reply, blob = each if isinstance(each, tuple) else (each, b"")
        if (shown := outputs.reply(reply, blob, None)) is not None:
            found.append(shown)
    return [*found, *outputs.ends(stopped=None, wall_s=0)]


def reply(kind: str, **fields: object) -> Reply:
    return msgspec.convert({"id": 1, "kind": kind, **fields}, Reply)


@pytest.mark.parametrize(
    "replies",
    [
        [reply("data")],
        [reply("file", size=1)],
        [reply("missing")],
        [reply("refused")],
        [reply("result", text="1"), reply("result", text="2")],
        [reply("error", name="E", text="1"), reply("error", name="E", text="2")],
        [reply("image", name="png", size=8)],
        [reply("image", name="png", size=8), reply("result", text="x")],
        [reply("image", name="png", size=8), (reply("data"), PNG + b"more")],
        [reply("image", name="png", size=8), (reply("data"), b"12345678")],
        [reply("image", name="svg", size=8)],
        [reply("image", name="png", size=0)],
        [reply("image", name="png", size=1001)],
        [reply("image", name="png", size=8), (reply("data"), PNG)] * 3,
        [reply("changed", name=f"a{number}") for number in range(4)],
        [reply("cut", name="everything", size=1)],
        [reply("cut", name="images", size=1)] * 20_001,
    ],
)
def test_what_no_cell_says_is_forged(replies: list[tuple[Reply, bytes] | Reply]) -> None:
    with pytest.raises(ForgedFrame):
        told(*replies)


def test_what_a_cell_says_is_bounded_by_whoever_reads_it() -> None:
    outputs = told(reply("result", text="x" * 500), reply("error", name="E" * 999, text="y" * 200))
    assert ResultOutput(text="x" * 100) in outputs
    assert ErrorOutput(name="E" * 200, traceback="y" * 100) in outputs
    assert CutOutput(what="result", left_out=400) in outputs
    assert CutOutput(what="traceback", left_out=100) in outputs
    assert outputs[-1] == EndOutput(status="error", wall_s=0)


def test_an_image_in_pieces_is_one() -> None:
    pieces = [reply("image", name="png", size=10), (reply("data"), PNG), (reply("data"), b"ab")]
    assert told(*pieces)[0] == ImageOutput(data=PNG + b"ab")


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "..", "a/../../b", "a\n", "a\0", "./a", "a/", "x" * 2000]
)
def test_a_path_that_leads_elsewhere_is_not_told(path: str) -> None:
    outputs = told(reply("changed", name=path, size=1), reply("changed", name="good", size=1))
    [files] = [each for each in outputs if isinstance(each, FilesOutput)]
    assert [each.path for each in files.changed] == ["good"]


@given(st.text(max_size=50))
def test_a_path_that_is_taken_stays_below_the_home(path: str) -> None:
    try:
        relative = checked(path)
    except BoxFileRefused:
        return
    assert is_path(relative)
    assert not relative.startswith("/")
    assert ".." not in relative.split("/")


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_a_stream_is_text_up_to_its_limit_however_it_is_cut(pieces: list[bytes]) -> None:
    outputs = CellOutputs(LIMITS)
    shown = [outputs.text("stdout", piece) for piece in pieces]
    ends = list(outputs.ends(stopped=None, wall_s=0))
    text = "".join(each.text for each in [*shown, *ends] if isinstance(each, TextOutput))
    data = b"".join(pieces)
    assert text == data[:100].decode(errors="replace").replace("\0", "\ufffd")
    cuts = [each.left_out for each in ends if isinstance(each, CutOutput)]
    assert cuts == ([len(data) - 100] if len(data) > 100 else [])
