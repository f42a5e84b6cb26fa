"""What every sandbox promises, as tests: subclass, say how to open one, and run pytest.

    class TestMySandbox(SandboxConformance):
        @pytest.fixture(scope="class")
        @classmethod
        def open_sandbox(cls, tmp_path_factory):
            return lambda: open_my_sandbox(tmp_path_factory.mktemp("sandbox"))

One sandbox serves all of the tests, each with boxes of its own.

The tests are coroutines, run by anyio's pytest plugin on asyncio. Boxes need the standard library
alone. That nothing gets out of them is for a provider's own tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, TypeVar, cast

import pytest

from famulus_schemas.sandbox import (
    HOME,
    Box,
    BoxFile,
    BoxFileMissing,
    BoxFileRefused,
    BoxGone,
    CellLimits,
    CutOutput,
    EndOutput,
    ErrorOutput,
    FilesOutput,
    ImageOutput,
    Output,
    ResultOutput,
    Sandbox,
    TextOutput,
)

OpenSandbox = Callable[[], AbstractAsyncContextManager[Sandbox]]
"""Opens a sandbox in which boxes can be opened."""

T = TypeVar("T")

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100_000)
SHOW_PNG = """
class Picture:
    def _repr_png_(self):
        return b"\\x89PNG\\r\\n\\x1a\\n" + bytes(100_000)
"""


class SourceFailed(Exception):
    """A stream broke off."""


async def cell(box: Box, code: str, **limits: Any) -> list[Output]:
    """All that a cell gives."""
    given = CellLimits(**{"wall_s": 20.0, **limits})
    return [output async for output in box.run(code, limits=given)]


def of(kind: type[T], outputs: list[Output]) -> list[T]:
    """Those outputs that are of a kind."""
    return [each for each in outputs if isinstance(each, kind)]


def text(outputs: list[Output], stream: str = "stdout") -> str:
    """What was written on a stream."""
    return "".join(each.text for each in of(TextOutput, outputs) if each.stream == stream)


def end(outputs: list[Output]) -> str:
    """How it ended."""
    assert isinstance(outputs[-1], EndOutput)
    assert len(of(EndOutput, outputs)) == 1
    return outputs[-1].status


async def pieces(data: bytes, size: int = 30_000) -> AsyncIterator[bytes]:
    """The data in chunks."""
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def read(box: Box, path: str, **arguments: Any) -> bytes:
    """A whole file."""
    return b"".join([chunk async for chunk in box.get(path, **arguments)])


class SandboxConformance:
    """The promises of SANDBOX. A subclass gives `open_sandbox`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture(scope="class")
    @classmethod
    def open_sandbox(cls) -> OpenSandbox:
        raise NotImplementedError("a subclass says how its sandbox is opened")

    @pytest.fixture(scope="class")
    @classmethod
    async def sandbox(cls, open_sandbox: OpenSandbox) -> AsyncIterator[Sandbox]:
        async with open_sandbox() as sandbox:
            yield sandbox

    @pytest.fixture
    async def box(self, sandbox: Sandbox) -> AsyncIterator[Box]:
        box = await sandbox.open("session", project="p")
        yield box
        await box.close()

    # -- cells ---------------------------------------------------------------------------------

    async def test_the_probe_says_how_well_boxes_are_shut(self, sandbox: Sandbox) -> None:
        probe = await sandbox.probe()
        assert probe.level in ("isolated", "confined")
        assert probe.provider
        assert probe.python.startswith("3.")
        assert await sandbox.probe() == probe

    async def test_what_is_printed_is_told_by_its_stream(self, box: Box) -> None:
        outputs = await cell(box, "import sys\nprint('out ü')\nprint('err', file=sys.stderr)")
        assert (text(outputs), text(outputs, "stderr")) == ("out ü\n", "err\n")
        assert end(outputs) == "ok"

    async def test_what_is_printed_is_told_while_the_cell_runs(self, box: Box) -> None:
        code = f"print('first', flush=True)\nimport os\nwhile not os.path.exists('{HOME}/go'): pass"
        async with aclosing(cast("Any", box.run(code))) as outputs:
            assert (await anext(outputs)).text == "first\n"
            assert await box.interrupt()
            rest = [output async for output in outputs]
        assert end(rest) == "interrupted"

    async def test_the_last_expression_is_shown_as_in_a_notebook(self, box: Box) -> None:
        [result] = of(ResultOutput, await cell(box, "x = [1]\nx + ['a']"))
        assert result.text == "[1, 'a']"
        assert of(ResultOutput, await cell(box, "None")) == []
        assert of(ResultOutput, await cell(box, "x;")) == []
        assert of(ResultOutput, await cell(box, "y = 1")) == []

    async def test_variables_modules_and_files_stay_from_cell_to_cell(self, box: Box) -> None:
        await cell(box, "import math\nx = 41\nopen('a.txt', 'w').write('kept')")
        outputs = await cell(box, "x + 1, math.floor(1.5), open('a.txt').read()")
        assert of(ResultOutput, outputs)[0].text == "(42, 1, 'kept')"
        assert box.cells == 2

    async def test_an_exception_is_told_with_the_frames_of_the_code(self, box: Box) -> None:
        outputs = await cell(box, "import json\ndef f():\n    json.loads('{')\nf()")
        [error] = of(ErrorOutput, outputs)
        assert error.name == "JSONDecodeError"
        assert "line 3, in f\n" in error.traceback
        assert "json.loads('{')" in error.traceback
        assert "decoder.py" not in error.traceback
        assert error.traceback.count("File ") == 2
        assert end(outputs) == "error"
        assert end(await cell(box, "1")) == "ok"

    async def test_an_exception_tells_what_it_came_from(self, box: Box) -> None:
        code = "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ValueError('b') from e"
        [error] = of(ErrorOutput, await cell(box, code))
        assert "ZeroDivisionError" in error.traceback
        assert "direct cause" in error.traceback
        code = "import json\ntry:\n    json.loads('{')\nexcept ValueError:\n    raise KeyError('a')"
        [error] = of(ErrorOutput, await cell(box, code))
        assert error.traceback.endswith("KeyError: 'a'\n")

    async def test_code_that_is_none_is_an_error_too(self, box: Box) -> None:
        for code in ("x +", "  x", "\0", "'"):
            outputs = await cell(box, code)
            assert of(ErrorOutput, outputs)[0].name in (
                "SyntaxError",
                "IndentationError",
                "ValueError",
            )
            assert end(outputs) == "error"

    async def test_what_is_printed_before_an_error_comes_before_it(self, box: Box) -> None:
        outputs = await cell(box, "print('a')\n1 / 0")
        kinds = [type(each) for each in outputs]
        assert kinds.index(TextOutput) < kinds.index(ErrorOutput)

    async def test_leaving_by_exit_ends_the_cell_alone(self, box: Box) -> None:
        assert end(await cell(box, "import sys\nx = 1\nsys.exit()")) == "ok"
        assert end(await cell(box, "import sys\nsys.exit('no more')")) == "error"
        assert of(ResultOutput, await cell(box, "x"))[0].text == "1"

    async def test_asking_the_user_fails_clearly(self, box: Box) -> None:
        [error] = of(ErrorOutput, await cell(box, "input('name? ')"))
        assert error.name == "EOFError"
        assert "nobody can answer" in error.traceback

    async def test_what_other_processes_write_is_told(self, box: Box) -> None:
        code = "import subprocess\nsubprocess.run(['/bin/sh', '-c', 'echo out; echo err >&2'])"
        outputs = await cell(box, code)
        assert (text(outputs), text(outputs, "stderr")) == ("out\n", "err\n")

    async def test_awaiting_works_at_the_top(self, box: Box) -> None:
        outputs = await cell(box, "import asyncio\nawait asyncio.sleep(0, 'slept')")
        assert of(ResultOutput, outputs)[0].text == "'slept'"

    async def test_images_are_told_where_they_are_shown(self, box: Box) -> None:
        code = "print('a')\ndisplay(Picture())\nprint('b')\nPicture()"
        outputs = await cell(box, SHOW_PNG + code)
        assert [each.data for each in of(ImageOutput, outputs)] == [PNG, PNG]
        kinds = [type(each) for each in outputs]
        assert kinds == [TextOutput, ImageOutput, TextOutput, ImageOutput, EndOutput]

    async def test_text_that_is_no_text_is_told_all_the_same(self, box: Box) -> None:
        code = "import os\nos.write(1, b'\\xff\\x00\\xc3\\xa4')\nprint('\\ud800')\n'\\ud800'"
        outputs = await cell(box, code)
        assert text(outputs) == "\ufffd\ufffdä\\ud800\n"
        assert end(outputs) == "ok"

    # -- limits --------------------------------------------------------------------------------

    async def test_long_output_is_cut_and_the_rest_counted(self, box: Box) -> None:
        code = (
            "import sys\nfor _ in range(3): sys.stdout.write('x' * 1000)\nsys.stderr.write('y' * 9)"
        )
        outputs = await cell(box, code, stream_bytes=1001)
        assert text(outputs) == "x" * 1001
        assert text(outputs, "stderr") == "y" * 9
        assert of(CutOutput, outputs) == [CutOutput(what="stdout", left_out=1999)]

    async def test_long_results_and_tracebacks_are_cut(self, box: Box) -> None:
        outputs = await cell(box, "'ä' * 1000", stream_bytes=100)
        assert len(of(ResultOutput, outputs)[0].text.encode()) <= 100
        assert of(CutOutput, outputs)[0].what == "result"
        outputs = await cell(box, "raise ValueError('x' * 1000)", stream_bytes=100)
        assert len(of(ErrorOutput, outputs)[0].traceback) <= 100
        assert of(CutOutput, outputs)[0].what == "traceback"

    async def test_images_over_the_limits_are_left_out(self, box: Box) -> None:
        outputs = await cell(box, SHOW_PNG + "for _ in range(5): display(Picture())", images_max=2)
        assert len(of(ImageOutput, outputs)) == 2
        assert of(CutOutput, outputs) == [CutOutput(what="images", left_out=3)]
        outputs = await cell(box, "Picture()", image_bytes=1000)
        assert of(ImageOutput, outputs) == []
        assert of(CutOutput, outputs) == [CutOutput(what="images", left_out=1)]

    async def test_code_that_takes_too_long_is_stopped_and_its_state_kept(self, box: Box) -> None:
        await cell(box, "x = 7")
        outputs = await cell(box, "print('begun', flush=True)\nwhile True: pass", wall_s=0.5)
        assert text(outputs) == "begun\n"
        [error] = of(ErrorOutput, outputs)
        assert error.name == "TimeoutError"
        assert "stopped after 0.5 s" in error.traceback
        assert end(outputs) == "timeout"
        assert of(ResultOutput, await cell(box, "x"))[0].text == "7"

    async def test_code_that_does_not_stop_is_the_end_of_its_box(self, box: Box) -> None:
        code = (
            "import time\nwhile True:\n"
            "    try:\n        while True: time.sleep(0.01)\n    except BaseException: pass"
        )
        with pytest.raises(BoxGone) as gone:
            await cell(box, code, wall_s=0.3)
        assert gone.value.why == "timeout"
        assert not box.is_alive
        with pytest.raises(BoxGone):
            await cell(box, "1")

    async def test_a_flood_is_the_end_of_its_box(self, box: Box) -> None:
        with pytest.raises(BoxGone) as gone:
            await cell(box, "while True: print('x' * 10_000)", flood_bytes=300_000)
        assert gone.value.why == "output"

    async def test_a_process_that_ends_is_the_end_of_its_box(self, box: Box) -> None:
        with pytest.raises(BoxGone) as gone:
            await cell(box, "import os\nos._exit(1)")
        assert gone.value.why == "exited"

    async def test_a_reader_who_leaves_stops_the_cell(self, box: Box) -> None:
        await cell(box, "x = 5")
        async with aclosing(
            cast("Any", box.run("print(1, flush=True)\nwhile True: pass"))
        ) as outputs:
            await anext(outputs)
        assert of(ResultOutput, await cell(box, "x"))[0].text == "5"

    async def test_a_reader_who_is_cancelled_stops_the_cell(self, box: Box) -> None:
        await cell(box, "x = 6")
        begun = asyncio.Event()

        async def reading() -> None:
            async for _ in box.run("print(1, flush=True)\nwhile True: pass"):
                begun.set()

        task = asyncio.create_task(reading())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert of(ResultOutput, await cell(box, "x"))[0].text == "6"

    async def test_a_cell_is_interrupted_by_name(self, box: Box) -> None:
        assert not await box.interrupt()

    async def test_cells_of_one_box_take_turns(self, box: Box) -> None:
        code = "x = globals().get('x', 0)\nfor _ in range(10_000): x += 1\nx"
        both = await asyncio.gather(cell(box, code), cell(box, code))
        assert sorted(of(ResultOutput, each)[0].text for each in both) == ["10000", "20000"]

    # -- files ---------------------------------------------------------------------------------

    @pytest.mark.parametrize("size", [0, 1, 65_536, 3_000_000])
    async def test_a_file_comes_out_as_it_went_in(self, box: Box, size: int) -> None:
        data = bytes(range(256)) * (size // 256) + bytes(size % 256)
        assert await box.put("a.bin", pieces(data)) == BoxFile(path="a.bin", bytes=size)
        assert of(ResultOutput, await cell(box, "len(open('a.bin', 'rb').read())"))[0].text == str(
            size
        )
        assert await read(box, "a.bin") == data

    async def test_a_file_is_replaced_as_a_whole(self, box: Box) -> None:
        await box.put("a", pieces(b"long text"))
        await box.put("a", pieces(b"new"))
        assert await read(box, "a") == b"new"

        async def broken() -> AsyncIterator[bytes]:
            yield b"half"
            raise SourceFailed

        with pytest.raises(SourceFailed):
            await box.put("a", broken())
        assert await read(box, "a") == b"new"
        assert [each.path for each in await box.list()] == ["a"]

    async def test_files_are_known_by_their_place_in_the_home(self, box: Box) -> None:
        await box.put(f"{HOME}/folder/b.txt", pieces(b"b"))
        await cell(box, f"open('{HOME}/a.txt', 'w').write('aa')")
        assert await box.list() == [
            BoxFile(path="a.txt", bytes=2),
            BoxFile(path="folder/b.txt", bytes=1),
        ]
        await box.delete("folder/b.txt")
        assert [each.path for each in await box.list()] == ["a.txt"]

    async def test_what_a_cell_changes_is_told(self, box: Box) -> None:
        await box.put("old", pieces(b"1"))
        await box.put("gone", pieces(b"1"))
        code = (
            "import os\nopen('old', 'a').write('2')\nopen('new', 'w').write('3')\nos.remove('gone')"
        )
        [files] = of(FilesOutput, await cell(box, code))
        assert files.changed == (BoxFile(path="new", bytes=1), BoxFile(path="old", bytes=2))
        assert files.deleted == ("gone",)
        assert of(FilesOutput, await cell(box, "open('old').read()")) == []

    async def test_what_is_not_there_is_missing(self, box: Box) -> None:
        await cell(box, "import os\nos.mkdir('folder')\nos.mkfifo('pipe')")
        for path in ("nothing", "folder", "pipe", "folder/x"):
            with pytest.raises(BoxFileMissing):
                await read(box, path)
            with pytest.raises(BoxFileMissing):
                await box.delete(path)

    @pytest.mark.parametrize(
        "path", ["", "/", "..", "../x", "a/../b", "/etc/passwd", "a//b", "a\0b", "a\nb", "x" * 300]
    )
    async def test_a_path_that_is_none_is_refused(self, box: Box, path: str) -> None:
        with pytest.raises(BoxFileRefused):
            await box.put(path, pieces(b"x"))
        with pytest.raises(BoxFileRefused):
            await read(box, path)
        with pytest.raises(BoxFileRefused):
            await box.delete(path)

    async def test_a_file_that_is_too_large_is_not_taken_out(self, box: Box) -> None:
        await box.put("a", pieces(bytes(100_000)))
        with pytest.raises(BoxFileRefused):
            await read(box, "a", bytes_max=99_999)
        assert len(await read(box, "a", bytes_max=100_000)) == 100_000

    async def test_a_reader_who_leaves_a_file_does_not_disturb_the_next(self, box: Box) -> None:
        await box.put("a", pieces(bytes(1_000_000)))
        await box.put("b", pieces(b"b"))
        async with aclosing(cast("Any", box.get("a"))) as chunks:
            await anext(chunks)
        assert await read(box, "b") == b"b"

    # -- sessions ------------------------------------------------------------------------------

    async def test_a_session_finds_its_box_again(self, sandbox: Sandbox) -> None:
        assert sandbox.find("s", project="p") is None
        box = await sandbox.open("s", project="p")
        assert await sandbox.open("s", project="p") is box
        assert sandbox.find("s", project="p") is box
        assert (box.session, box.project) == ("s", "p")
        await box.close()
        await box.close()
        assert sandbox.find("s", project="p") is None
        other = await sandbox.open("s", project="p")
        assert other.id != box.id
        assert other.cells == 0
        await other.close()

    async def test_sessions_and_projects_share_nothing(self, sandbox: Sandbox) -> None:
        first = await sandbox.open("s", project="p")
        await cell(first, "x = 1\nopen('a', 'w').write('secret')\nimport os\nos.environ['A'] = 'b'")
        code = "import os\n'x' in globals(), os.listdir(), 'A' in os.environ"
        for session, project in (("t", "p"), ("s", "q")):
            other = await sandbox.open(session, project=project)
            assert other.id != first.id
            outputs = await cell(other, code)
            assert of(ResultOutput, outputs)[0].text == "(False, [], False)"
            await other.close()
        await first.close()

    async def test_one_session_that_is_opened_twice_at_once_has_one_box(
        self, sandbox: Sandbox
    ) -> None:
        first, second = await asyncio.gather(
            sandbox.open("s", project="p"), sandbox.open("s", project="p")
        )
        assert first is second
        await first.close()

    async def test_a_box_that_is_closed_stops_what_runs_in_it(self, box: Box) -> None:
        begun = asyncio.Event()

        async def reading() -> None:
            async for _ in box.run("print(1, flush=True)\nwhile True: pass"):
                begun.set()

        task = asyncio.create_task(reading())
        await begun.wait()
        await box.close()
        with pytest.raises(BoxGone) as gone:
            await task
        assert gone.value.why == "closed"
