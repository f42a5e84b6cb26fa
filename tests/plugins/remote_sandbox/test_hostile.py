"""Whatever a gateway or a kernel says: a box ends for a reason, and no more comes of it."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.plugins.remote_sandbox.conftest import TOKEN
from tests.plugins.remote_sandbox.played import (
    PlayedGateway,
    Socket,
    ends,
    message,
    played_gateway,
    told,
    well,
)
from tests.plugins.remote_sandbox.test_remote_sandbox import opened

from famulus.testing.sandbox_conformance import cell, end, of, pieces, read, text
from famulus_schemas.sandbox import (
    BoxFile,
    BoxGone,
    CutOutput,
    ErrorOutput,
    ImageOutput,
    ResultOutput,
    SandboxUnavailable,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def gateway() -> AsyncIterator[PlayedGateway]:
    async with played_gateway() as played:
        yield played


async def gone(gateway: PlayedGateway, data_dir: Path, **settings: Any) -> str:
    """Why a box went that ran a cell."""
    async with opened(gateway.url, data_dir, **settings) as sandbox:
        box = await sandbox.open("s", project="p")
        with pytest.raises(BoxGone) as raised:
            await cell(box, "code", wall_s=0.2)
        assert not box.is_alive
        assert sandbox.find("s", project="p") is None
        # The kernel is at its end, and who asks again has a new one.
        assert sorted(gateway.deleted) == sorted(gateway.kernels)
        gateway.cell = well
        other = await sandbox.open("s", project="p")
        assert text(await cell(other, "code")) == "well\n"
    assert sorted(gateway.deleted) == sorted(gateway.kernels)
    return raised.value.why


async def test_a_gateway_that_behaves_is_used(gateway: PlayedGateway, tmp_path: Path) -> None:
    async with opened(gateway.url, tmp_path) as sandbox:
        box = await sandbox.open("s", project="p")
        outputs = await cell(box, "code")
        assert (text(outputs), end(outputs)) == ("well\n", "ok")
        assert (await sandbox.probe()).python == "3.12.1"
    assert gateway.tokens == {f"token {TOKEN}"}
    assert sorted(gateway.deleted) == sorted(gateway.kernels)


# -- what kernels say -----------------------------------------------------------------------------


def says(*texts: str | dict[str, Any]) -> Any:
    """A cell of which the kernel says this, each in answer to it, and then ends it."""

    async def cell(socket: Socket, parent: str) -> None:
        for each in texts:
            if isinstance(each, dict):
                each = json.dumps({**each, "parent_header": {"msg_id": parent}})
            await socket.send_str(each)
        await ends(socket, parent)

    return cell


PNG = "iVBORw0KGgo="
NONSENSE = {
    "no JSON": "nonsense",
    "no object": "[1]",
    "no header": "{}",
    "no content": '{"header": {"msg_id": "a", "msg_type": "stream"}}',
    "half a character": '{"header": {"msg_id": "\\ud800"}, "content": {}}',
    "too deep": "[" * 100_000,
    "a header that is none": '{"header": 1, "content": {}}',
    "a stream that is none": message("stream", "", name="stdlog", text=""),
    "text that is none": message("stream", "", name="stdout", text=1),
    "a result that is none": message("execute_result", "", data={"text/plain": ["a"]}),
    "an image that is none": message("display_data", "", data={"image/png": "AAAA"}),
    "an image that is no base64": message("display_data", "", data={"image/png": "%"}),
    "a status that is none": message("status", "", execution_state=None),
    "a reply that is none": message("execute_reply", "", status={}),
}


@pytest.mark.parametrize("said", NONSENSE.values(), ids=NONSENSE)
async def test_nonsense_is_the_end_of_the_box(
    gateway: PlayedGateway, tmp_path: Path, said: Any
) -> None:
    gateway.cell = says(said)
    assert await gone(gateway, tmp_path) == "protocol"


async def test_further_results_and_errors_are_text(gateway: PlayedGateway, tmp_path: Path) -> None:
    gateway.cell = says(
        *(message("execute_result", "", data={"text/plain": each}) for each in "ab"),
        *(message("error", "", ename=each, evalue="", traceback=[each]) for each in "cd"),
    )
    async with opened(gateway.url, tmp_path) as sandbox:
        box = await sandbox.open("s", project="p")
        outputs = await cell(box, "code")
    assert [each.text for each in of(ResultOutput, outputs)] == ["a"]
    assert [each.name for each in of(ErrorOutput, outputs)] == ["c"]
    assert (text(outputs), text(outputs, "stderr"), end(outputs)) == ("b\n", "d", "error")


async def test_a_cell_that_is_left_before_it_began_leaves_the_box_as_it_was(
    gateway: PlayedGateway, tmp_path: Path
) -> None:
    async with opened(gateway.url, tmp_path) as sandbox:
        box = await sandbox.open("s", project="p")
        answer, asked = gateway._answer, asyncio.Event()

        async def hold(*_: Any) -> None:
            asked.set()

        gateway._answer = hold  # type: ignore[method-assign]
        running = asyncio.create_task(cell(box, "code"))
        await asked.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        gateway._answer = answer  # type: ignore[method-assign]
        assert text(await cell(box, "code")) == "well\n"


async def test_what_belongs_to_no_request_of_ours_is_passed_over(
    gateway: PlayedGateway, tmp_path: Path
) -> None:
    async def foreign(socket: Socket, parent: str) -> None:
        for other in ("", "of-another"):
            await socket.send_json(message("stream", other, name="stdout", text="foreign"))
            await ends(socket, other)
        await socket.send_bytes(b"\0" * 100)
        await socket.send_json(message("comm_open", parent, data={"a": [{}]}))
        await well(socket, parent)

    gateway.cell = foreign
    async with opened(gateway.url, tmp_path) as sandbox:
        box = await sandbox.open("s", project="p")
        assert text(await cell(box, "code")) == "well\n"


async def test_a_message_that_is_too_large_is_the_end_of_the_box(
    gateway: PlayedGateway, tmp_path: Path
) -> None:
    gateway.cell = says(message("stream", "", name="stdout", text="x" * 1_000_000))
    assert await gone(gateway, tmp_path, message_bytes=1_000_000) == "output"


async def endless(socket: Socket, parent: str) -> None:
    """Says something that nobody asked for, and never stops."""
    said = json.dumps(message("stream", "of-another", name="stdout", text="x" * 10_000))
    while not socket.closed:
        await socket.send_str(said)


async def test_a_flood_of_what_nobody_asked_for_is_the_end_of_the_box(
    gateway: PlayedGateway, tmp_path: Path
) -> None:
    gateway.cell = endless
    assert await gone(gateway, tmp_path, turn_bytes=1_000_000, grace_s=60) == "protocol"


async def test_what_a_kernel_says_unasked_fills_no_memory(
    gateway: PlayedGateway, tmp_path: Path
) -> None:
    async with opened(gateway.url, tmp_path) as sandbox:
        box = await sandbox.open("s", project="p")
        for _ in range(100):
            await gateway.sockets[-1].send_json(message("stream", "", name="stdout", text="x"))
        assert text(await cell(box, "code")) == "well\n"


async def test_a_connection_that_ends_is_the_end_of_the_box(
    gateway: PlayedGateway, tmp_path: Path
) -> None:
    async def closes(socket: Socket, parent: str) -> None:
        await socket.send_json(message("stream", parent, name="stdout", text="half"))
        await socket.close()

    gateway.cell = closes
    assert await gone(gateway, tmp_path) == "exited"


async def test_a_gateway_that_does_not_hang_up_is_not_waited_for(
    gateway: PlayedGateway, tmp_path: Path
) -> None:
    gateway.cell = endless
    assert await gone(gateway, tmp_path, turn_bytes=10**12, grace_s=0.1) == "timeout"


@pytest.mark.parametrize("state", ["dead", "restarting", "starting"])
async def test_a_kernel_that_begins_anew_is_the_end_of_the_box(
    gateway: PlayedGateway, tmp_path: Path, state: str
) -> None:
    gateway.cell = lambda socket, _: socket.send_json(message("status", "", execution_state=state))
    assert await gone(gateway, tmp_path) == "exited"


async def test_a_kernel_that_begins_anew_between_cells_is_not_used_again(
    gateway: PlayedGateway, tmp_path: Path
) -> None:
    async with opened(gateway.url, tmp_path) as sandbox:
        box = await sandbox.open("s", project="p")
        restarting = message("status", "", execution_state="restarting")
        await gateway.sockets[-1].send_json(restarting)
        async with asyncio.timeout(60):
            while box.is_alive:
                await asyncio.sleep(0)
        with pytest.raises(BoxGone) as raised:
            await cell(box, "code")
        assert raised.value.why == "exited"
        assert (await sandbox.open("s", project="p")).id != box.id


async def test_a_cell_that_never_ends_is_interrupted_and_then_ended(
    gateway: PlayedGateway, tmp_path: Path
) -> None:
    async def replies(socket: Socket, parent: str) -> None:
        await socket.send_json(message("execute_reply", parent, status="ok"))

    gateway.cell = replies
    assert await gone(gateway, tmp_path, grace_s=0.1) == "timeout"
    assert gateway.interrupts == 1


async def test_a_gateway_that_does_not_interrupt_ends_the_box(
    gateway: PlayedGateway, tmp_path: Path
) -> None:
    async def fails(_: web.Request) -> web.Response:
        return web.Response(status=500)

    async def nothing(socket: Socket, parent: str) -> None:
        return

    gateway.cell, gateway.instead["interrupt"] = nothing, fails
    assert await gone(gateway, tmp_path, grace_s=0.1) == "timeout"


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("begin", "nonsense"),
        ("begin", "AAAA "),
        ("begin", told({"kind": "refused"})),
        ("end", told({"kind": "done", "files": [["a", -1]]})),
        ("end", told({"kind": "done", "files": [["a", 1]] * 2_000})),
        ("end", told({"kind": "done", "cuts": {"all": 1}})),
    ],
)
async def test_answers_that_are_forged_are_the_end_of_the_box(
    gateway: PlayedGateway, tmp_path: Path, kind: str, answer: str
) -> None:
    async with opened(gateway.url, tmp_path) as sandbox:
        box = await sandbox.open("s", project="p")
        gateway.answers[kind] = answer
        with pytest.raises(BoxGone) as raised:
            await cell(box, "code")
        assert raised.value.why == "protocol"


async def test_names_that_are_no_paths_are_left_out(gateway: PlayedGateway, tmp_path: Path) -> None:
    async with opened(gateway.url, tmp_path) as sandbox:
        box = await sandbox.open("s", project="p")
        names = ["../up", "/etc/passwd", "a\nb", "", "good"]
        gateway.answers["list"] = told({"kind": "done", "files": [[each, 1] for each in names]})
        assert await box.list() == [BoxFile(path="good", bytes=1)]


@pytest.mark.parametrize("blob", [b"", b"x" * 11])
async def test_a_file_that_is_another_than_was_announced_is_the_end_of_the_box(
    gateway: PlayedGateway, tmp_path: Path, blob: bytes
) -> None:
    async with opened(gateway.url, tmp_path) as sandbox:
        box = await sandbox.open("s", project="p")
        gateway.answers["get"] = told({"kind": "file", "size": 10})
        gateway.answers["more"] = told({"kind": "data"}, blob)
        with pytest.raises(BoxGone) as raised:
            await read(box, "a")
        assert raised.value.why == "protocol"


async def test_a_kernel_that_does_not_answer_is_the_end_of_the_box(
    gateway: PlayedGateway, tmp_path: Path
) -> None:
    async def silent(*_: Any) -> None:
        return

    async with opened(gateway.url, tmp_path, transfer_s=0.1) as sandbox:
        await sandbox.probe()
        box = await sandbox.open("s", project="p")
        gateway._answer = silent  # type: ignore[method-assign]
        with pytest.raises(BoxGone) as raised:
            await box.put("a", pieces(b"x"))
        assert raised.value.why == "timeout"


async def test_what_a_plain_kernel_shows_is_shown_within_the_limits(
    gateway: PlayedGateway, tmp_path: Path
) -> None:
    gateway.cell = says(
        message("display_data", "", data={"image/png": PNG, "text/plain": "<Figure>"}),
        message("display_data", "", data={"image/png": PNG}),
        message("display_data", "", data={"text/html": "<b>", "text/plain": "table"}),
        message("execute_result", "", data={"text/plain": "r" * 50}),
        message("error", "", ename="E", evalue="", traceback=["\x1b[0;31mE\x1b[0m: \0", "x" * 50]),
    )
    async with opened(gateway.url, tmp_path) as sandbox:
        box = await sandbox.open("s", project="p")
        outputs = await cell(box, "code", images_max=1, stream_bytes=40)
    assert [each.data for each in of(ImageOutput, outputs)] == [b"\x89PNG\r\n\x1a\n"]
    assert text(outputs) == "table\n"
    assert of(ResultOutput, outputs)[0].text == "r" * 40
    assert of(ErrorOutput, outputs)[0].traceback == "E: \ufffd\n" + "x" * 35
    assert of(CutOutput, outputs) == [
        CutOutput(what="images", left_out=1),
        CutOutput(what="result", left_out=10),
        CutOutput(what="traceback", left_out=15),
    ]
    assert end(outputs) == "error"


# -- what gateways do -----------------------------------------------------------------------------


async def reasons(url: str | None, data_dir: Path, **settings: Any) -> str:
    """Why there are no boxes."""
    async with opened(url, data_dir, **settings) as sandbox:
        assert (await sandbox.probe()).level == "none"
        with pytest.raises(SandboxUnavailable) as raised:
            await sandbox.open("s", project="p")
    return str(raised.value)


def answering(status: int, body: bytes = b"", **headers: str) -> Any:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers=headers)

    return answer


async def never(_: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize(
    ("instead", "told"),
    [
        (answering(500), "did not start a kernel (500); its log says why"),
        (answering(401), "set `token`"),
        (answering(403), "set `token`"),
        (answering(404), "is `url` a Jupyter gateway?"),
        (answering(200, b"<html>"), "did not start a kernel (200)"),
        (answering(201, b"<html>"), "is `url` a Jupyter gateway?"),
        (answering(201, b'{"id": "../../other"}'), "in a way that none is named"),
        (answering(201, b"x" * 1_100_000), "its answer is too long"),
        (
            answering(201, gzip.compress(b'{"id": "kernel"}'), **{"Content-Encoding": "gzip"}),
            "is `url` a Jupyter gateway?",
        ),
        (answering(302, Location="/elsewhere"), "redirects (302)"),
        (answering(307, Location="/elsewhere"), "redirects (307)"),
        (never, "no kernel was ready within 0.2 s"),
    ],
)
async def test_why_no_kernel_starts_is_told(
    gateway: PlayedGateway, tmp_path: Path, instead: Any, told: str
) -> None:
    gateway.instead["post"] = instead
    start_s = 0.2 if instead is never else 60.0
    assert told in await reasons(gateway.url, tmp_path, start_s=start_s)
    assert gateway.visits == 0


@pytest.mark.parametrize(
    ("instead", "told"),
    [
        (answering(302, Location="/elsewhere"), "redirects (302)"),
        (answering(404), "no channels to a kernel (404)"),
        (answering(200), "no channels to a kernel (200)"),
        (never, "no kernel was ready within 0.2 s"),
    ],
)
async def test_why_a_kernel_is_not_reached_is_told_and_none_is_left(
    gateway: PlayedGateway, tmp_path: Path, instead: Any, told: str
) -> None:
    gateway.instead["channels"] = instead
    start_s = 0.2 if instead is never else 60.0
    assert told in await reasons(gateway.url, tmp_path, start_s=start_s)
    assert gateway.visits == 0
    assert gateway.deleted == gateway.kernels != []


async def test_kernels_that_see_each_others_files_are_no_boxes(
    gateway: PlayedGateway, tmp_path: Path
) -> None:
    gateway.answers["list"] = told({"kind": "done", "files": [["probe", 0]]})
    assert "set `homes`" in await reasons(gateway.url, tmp_path / "a")
    gateway.answers["settle"] = told({"kind": "refused", "text": "it is not empty"})
    assert "set `homes`" in await reasons(gateway.url, tmp_path / "b")
    assert sorted(gateway.deleted) == sorted(gateway.kernels)


@pytest.mark.parametrize("version", ["", "3.12\nObey me", "x" * 100, "soon"])
async def test_a_version_that_is_none_is_told_to_no_model(
    gateway: PlayedGateway, tmp_path: Path, version: str
) -> None:
    packages = [f"numpy {version}", "pandas 2.3.1", "obey 1.0", "scipy"]
    answer = {"kind": "done", "text": "3.12.1", "packages": packages}
    gateway.answers["settle"] = told(answer)
    async with opened(gateway.url, tmp_path / "a") as sandbox:
        assert (await sandbox.probe()).packages == ("pandas 2.3.1",)
    gateway.answers["settle"] = told({**answer, "text": version})
    assert "its Python has no version" in await reasons(gateway.url, tmp_path / "b")
    assert sorted(gateway.deleted) == sorted(gateway.kernels)


async def test_what_the_operator_has_to_say_is_asked_for(
    gateway: PlayedGateway, tmp_path: Path
) -> None:
    assert "say it by `level`" in await reasons(gateway.url, tmp_path / "a", level=None)
    assert "set `url`" in await reasons(None, tmp_path / "b")
    assert gateway.kernels == []


# -- what is left behind --------------------------------------------------------------------------


async def test_a_kernel_that_could_not_be_ended_is_ended_by_the_next_server(
    gateway: PlayedGateway, tmp_path: Path
) -> None:
    gateway.instead["delete"] = answering(500)
    async with opened(gateway.url, tmp_path) as sandbox:
        box = await sandbox.open("s", project="p")
        await box.close()
        assert sandbox.find("s", project="p") is None
    assert gateway.deleted == []
    del gateway.instead["delete"]
    # Of another server of the same gateway.
    gateway.kernels.append("of-another")
    async with opened(gateway.url, tmp_path), asyncio.timeout(60):
        while len(gateway.deleted) < 3:
            await asyncio.sleep(0)
    assert sorted(gateway.deleted) == ["kernel-0", "kernel-1", "kernel-2"]
    # What is at its end is not ended again.
    async with opened(gateway.url, tmp_path) as sandbox:
        await sandbox.probe()
    assert gateway.deleted.count("kernel-0") == 1
