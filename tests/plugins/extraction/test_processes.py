"""The processes that read files: limits, faults, ends, and what becomes of them."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.extraction import stranger
from tests.plugins.extraction.conftest import Reading, pieces, reading_with

from famulus import NoSettings, Plugin, hookimpl
from famulus_extraction.processes import ExtractionFailed
from famulus_schemas.retrieval import Chunker, Chunking, ExtractionRefused, Extractor

pytestmark = pytest.mark.anyio
MB = 1_048_576


class Stranger(Plugin[NoSettings]):
    """Reads types of files by functions that misbehave; each type is called as its function."""

    name = "stranger"

    @hookimpl
    def register_extractors(self) -> list[Extractor]:
        return [
            Extractor(
                name=name,
                function=f"{stranger.__name__}:{name}",
                media_types=(),
                suffixes=(f".{name}",),
            )
            for name, value in vars(stranger).items()
            if callable(value) and getattr(value, "__module__", "") == stranger.__name__
        ] + [
            Extractor(
                name="lost", function="there.is.none:such", media_types=(), suffixes=(".lost",)
            ),
            Extractor(
                name="gone",
                function=f"{stranger.__name__}:gone",
                media_types=(),
                suffixes=(".gone",),
            ),
        ]

    @hookimpl
    def register_chunkers(self) -> list[Chunker]:
        return [
            Chunker(name=name, function=f"{stranger.__name__}:{name}")
            for name in ("verses", "lies", "says_nothing")
        ]


def strangely(folder: Path, **settings: Any) -> Any:
    return reading_with(Stranger, folder=folder, **settings)


@pytest.fixture
async def strange(tmp_path: Path) -> AsyncIterator[Reading]:
    async with strangely(tmp_path) as started:
        yield started
        assert started.spooled() == []


async def failure(reading: Reading, content: bytes, filename: str) -> str:
    """Why a file could not be read this time, for a reason that is not its own."""
    with pytest.raises(ExtractionFailed) as failed:
        await reading.chunks(content, filename)
    return str(failed.value)


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.01)


def lives(pid: int) -> bool:
    """Whether a process is there, and no mere entry that nobody has waited for."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


# -- what a stranger brings --------------------------------------------------------------------


async def test_a_strangers_extractor_reads_its_type(strange: Reading) -> None:
    [chunk] = await strange.chunks(b"uryyb", "a.rot13")
    assert (chunk.text, chunk.page, chunk.heading) == ("hello", 3, "Secret")


async def test_an_extractors_sentence_reaches_the_user(strange: Reading) -> None:
    assert await strange.refusal(b"a", "a.sulks") == (
        "invalid_file",
        "The file is in a bad mood; ask it again tomorrow.",
    )


async def test_a_stranger_may_take_over_a_type_that_we_read(tmp_path: Path) -> None:
    class Mine(Plugin[NoSettings]):
        """Reads text its own way."""

        name = "mine"

        @hookimpl
        def register_extractors(self) -> list[Extractor]:
            function = f"{stranger.__name__}:rot13"
            return [Extractor(name="m", function=function, media_types=(), suffixes=(".txt",))]

    async with reading_with(Mine, folder=tmp_path) as reading:
        assert await reading.text(b"uryyb", "a.txt") == "hello"
        assert await reading.text(b"uryyb", "a.log") == "uryyb"


async def test_a_plugin_that_is_a_single_file_can_bring_an_extractor(tmp_path: Path) -> None:
    from famulus.discover import discover

    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "shouting.py").write_text(
        "from famulus import NoSettings, Plugin, hookimpl\n"
        "from famulus_schemas.retrieval import Extractor, Section\n"
        "def shout(path):\n"
        "    return [Section(text=path.read_text().upper())]\n"
        "class Shouting(Plugin[NoSettings]):\n"
        "    '''Shouts.'''\n"
        "    @hookimpl\n"
        "    def register_extractors(self):\n"
        "        return [Extractor(name='shout', function=f'{__name__}:shout',\n"
        "            media_types=(), suffixes=('.shout',))]\n"
    )
    [found] = [each for each in discover(folder) if each.name == "shouting"]
    async with reading_with(found.load(), folder=tmp_path / "data") as reading:
        assert await reading.text(b"hello", "a.shout") == "HELLO"


async def test_a_strangers_chunker_is_chosen_by_name(tmp_path: Path) -> None:
    async with strangely(tmp_path, chunker="verses") as reading:
        found = await reading.chunks(b"one\ntwo\n\nthree\n")
        assert [each.text for each in found] == ["one\n", "two\n", "three\n"]


async def test_a_chunker_that_lies_is_the_servers_fault(tmp_path: Path) -> None:
    async with strangely(tmp_path, chunker="lies") as reading:
        assert "stand where it says" in await failure(reading, b"a", "a.txt")


async def test_a_chunker_that_makes_nothing_of_a_text_is_the_servers_fault(tmp_path: Path) -> None:
    async with strangely(tmp_path, chunker="says_nothing") as reading:
        assert "made no chunk" in await failure(reading, b"a", "a.txt")


async def test_an_extractor_that_is_not_there_is_the_servers_fault(strange: Reading) -> None:
    assert "No module named 'there'" in await failure(strange, b"a", "a.lost")
    assert "there is no gone" in await failure(strange, b"a", "a.gone")


# -- limits ------------------------------------------------------------------------------------


async def test_what_takes_too_long_is_refused(tmp_path: Path) -> None:
    async with strangely(tmp_path, wall_s=1.0) as reading:
        _, message = await reading.refusal(b"a", "a.loops")
        assert "longer to be read than the 1 s" in message
        assert reading.processes.idle == []


async def test_what_takes_too_much_memory_is_refused(tmp_path: Path) -> None:
    async with strangely(tmp_path, memory_bytes_max=400 * MB) as reading:
        _, message = await reading.refusal(b"a", "a.allocates")
        assert "more memory" in message
        assert reading.processes.idle == []


async def test_the_least_memory_that_may_be_set_is_enough_for_text(tmp_path: Path) -> None:
    async with strangely(tmp_path, memory_bytes_max=128 * MB) as reading:
        assert len(await reading.chunks(b"Some words. " * 100_000)) > 100


async def test_what_says_too_much_is_refused(tmp_path: Path) -> None:
    async with strangely(tmp_path, text_bytes_max=5 * MB) as reading:
        _, message = await reading.refusal(b"a", "a.floods")
        assert message == "The file holds more than 5 MB of text; split it."


async def test_what_makes_too_many_chunks_is_refused(tmp_path: Path) -> None:
    async with strangely(tmp_path, output_bytes_max=100_000) as reading:
        _, message = await reading.refusal(b"some words " * 20_000)
        assert "more chunks" in message


async def test_what_is_too_large_is_not_even_written_down(tmp_path: Path) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield bytes(MB)

    async with strangely(tmp_path, file_bytes_max=5 * MB) as reading:
        with pytest.raises(ExtractionRefused, match="larger than the 5 MB"):
            await reading.chunks(endless())
        assert taken < 10
        assert reading.spooled() == []


async def test_only_so_many_files_are_read_at_once(tmp_path: Path) -> None:
    async with strangely(tmp_path, extractions_at_once_max=2) as reading:
        signs = [tmp_path / f"sign{number}" for number in range(3)]
        waiting = [
            asyncio.create_task(reading.chunks(str(sign).encode(), "a.waits")) for sign in signs
        ]
        await eventually(lambda: sum(sign.exists() for sign in signs) == 2)
        [left] = [number for number, sign in enumerate(signs) if not sign.exists()]
        waiting[(left + 1) % 3].cancel()
        await eventually(signs[left].exists)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_process_knows_nothing_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAMULUS_SECRET", "sk-secret")
    monkeypatch.setenv("HOME", "/home/secret")
    async with strangely(tmp_path) as reading:
        told = json.loads(await reading.text(b"a", "secret.tells_where_it_is"))
    assert {"FAMULUS_SECRET", "HOME"}.isdisjoint(told["environment"])
    assert set(told["environment"]) <= {
        *("LANG", "LC_CTYPE", "PATH", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "TMPDIR"),
        *("LD_LIBRARY_PATH", "PYTHONHOME"),
    }
    assert told["limits"]["RLIMIT_CORE"] == [0, 0]
    assert told["limits"]["RLIMIT_NOFILE"] == [64, 64]
    assert told["limits"]["RLIMIT_FSIZE"] == [250 * MB, 250 * MB]
    if sys.platform == "linux":
        assert told["limits"]["RLIMIT_AS"] == [1024 * MB, 1024 * MB]
    assert told["nice"] >= 10
    assert told["session"]
    assert told["descriptors"] <= 6
    assert told["name"] == "content"
    assert told["modules"] == []


# -- faults ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGXCPU"])
async def test_a_reader_that_crashes_is_the_files_fault(strange: Reading, name: str) -> None:
    code, message = await strange.refusal(name.encode(), "a.ends_by_what_it_says")
    assert code == "invalid_file"
    assert "crashed" in message or "longer" in message


@pytest.mark.parametrize("word", ["SIGKILL", "SIGTERM", "SIGHUP", "exit1", "exit0"])
async def test_a_reader_that_is_ended_is_not_the_files_fault(strange: Reading, word: str) -> None:
    assert "ended" in await failure(strange, word.encode(), "a.ends_by_what_it_says")


async def test_a_crash_is_believed_only_of_a_fresh_process(strange: Reading) -> None:
    assert await strange.text(b"one", "a.leaks_then_crashes") == "one"
    [first] = strange.processes.idle
    assert await strange.text(b"two", "a.leaks_then_crashes") == "two"
    [second] = strange.processes.idle
    assert first != second


async def test_after_a_fault_the_next_file_is_read(strange: Reading) -> None:
    for name in ("SIGSEGV", "SIGKILL"):
        with pytest.raises((ExtractionRefused, ExtractionFailed)):
            await strange.chunks(name.encode(), "a.ends_by_what_it_says")
        assert await strange.text(b"fine") == "fine"


async def test_a_refusal_costs_no_process(strange: Reading) -> None:
    assert await strange.text(b"fine") == "fine"
    [before] = strange.processes.idle
    await strange.refusal(b"a", "a.sulks")
    assert await strange.text(b"fine") == "fine"
    assert strange.processes.idle == [before]


async def test_what_a_library_prints_is_no_answer(strange: Reading) -> None:
    assert await strange.text(b"a", "a.shouts") == "quiet"


@pytest.mark.parametrize("name", ["spoils_the_output", "swaps_the_output", "forges"])
async def test_a_process_that_was_taken_over_is_not_believed(strange: Reading, name: str) -> None:
    await failure(strange, b"a", f"a.{name}")


async def test_an_answer_that_was_given_before_the_question_is_not_believed(
    strange: Reading,
) -> None:
    await failure(strange, b"a", "a.answers_the_next_file")
    assert len(strange.processes.idle) == 1
    assert await strange.text(b"fine") == "fine"


async def test_a_process_that_cannot_be_started_is_the_servers_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with strangely(tmp_path) as reading:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", "/nowhere/python")
            assert "/nowhere/python" in await failure(reading, b"a", "a.txt")
            health = await reading.server.plugin("extraction").check_health()
            assert (health.status, "no file is read" in health.detail) == ("degraded", True)
        assert await reading.text(b"fine") == "fine"
        assert (await reading.server.plugin("extraction").check_health()).status == "ok"


async def test_why_a_process_did_not_start_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with strangely(tmp_path) as reading:
        monkeypatch.setenv("PYTHONHOME", "/nowhere")
        monkeypatch.setattr(sys, "path", [])
        assert "No module named 'encodings'" in await failure(reading, b"a", "a.txt")


# -- lives -------------------------------------------------------------------------------------


async def test_a_process_reads_several_files(strange: Reading) -> None:
    await strange.text(b"one")
    [first] = strange.processes.idle
    for _ in range(3):
        await strange.text(b"more")
    assert strange.processes.idle == [first]


async def test_a_process_is_replaced_after_so_many_files(tmp_path: Path) -> None:
    async with strangely(tmp_path, files_per_process_max=2) as reading:
        seen = []
        for _ in range(4):
            await reading.text(b"more")
            seen.append(list(reading.processes.idle))
        assert [len(each) for each in seen] == [1, 0, 1, 0]
        assert seen[0] != seen[2]
        await eventually(lambda: not lives(seen[0][0]))


async def test_a_process_that_has_nothing_to_do_is_ended(tmp_path: Path) -> None:
    async with strangely(tmp_path, idle_s=0.05) as reading:
        await reading.text(b"one")
        await eventually(lambda: reading.processes.idle == [])
        assert await reading.text(b"two") == "two"


async def test_no_process_is_left_when_the_server_stops(tmp_path: Path) -> None:
    async with strangely(tmp_path) as reading:
        await asyncio.gather(*(reading.text(b"one") for _ in range(2)))
        pids = reading.processes.idle
        assert len(pids) == 2
    assert not any(map(lives, pids))
    assert list((tmp_path / "extraction").iterdir()) == []


async def test_a_file_that_is_being_read_when_the_server_stops_fails_for_now(
    tmp_path: Path,
) -> None:
    async with strangely(tmp_path) as reading:
        sign = tmp_path / "sign"
        task = asyncio.create_task(reading.chunks(str(sign).encode(), "a.waits"))
        await eventually(lambda: sign.exists() and bool(sign.read_text()))
    assert not lives(int(sign.read_text()))
    with pytest.raises(ExtractionFailed):
        await task


async def test_whoever_does_not_wait_has_the_process_ended(strange: Reading) -> None:
    sign = strange.folder / "sign"
    task = asyncio.create_task(strange.chunks(str(sign).encode(), "a.waits"))
    await eventually(lambda: sign.exists() and bool(sign.read_text()))
    pid = int(sign.read_text())
    assert lives(pid)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not lives(pid)
    assert strange.spooled() == []


async def test_what_a_reader_started_is_ended_with_it(tmp_path: Path) -> None:
    async with strangely(tmp_path, wall_s=2.0) as reading:
        sign = tmp_path / "sign"
        await reading.refusal(str(sign).encode(), "a.leaves_a_child")
        pid = int(sign.read_text())
        await eventually(lambda: not lives(pid))


async def test_a_content_that_breaks_off_raises_what_it_raised(strange: Reading) -> None:
    class Broken(Exception):
        pass

    async def breaks() -> AsyncIterator[bytes]:
        yield b"some"
        raise Broken

    with pytest.raises(Broken):
        await strange.chunks(breaks())
    assert strange.spooled() == []


async def test_whoever_takes_no_more_chunks_leaves_nothing(strange: Reading) -> None:
    batches = strange.port.chunks(
        pieces(b"some words " * 50_000), filename="a.txt", chunking=Chunking()
    )
    async for _ in batches:
        assert len(strange.spooled()) == 1
        break
    await batches.aclose()  # type: ignore[attr-defined]
    assert strange.spooled() == []


async def test_the_place_of_a_file_is_free_before_its_chunks_are_taken(tmp_path: Path) -> None:
    async with strangely(tmp_path, extractions_at_once_max=1) as reading:
        batches = reading.port.chunks(
            pieces(b"some words " * 50_000), filename="a.txt", chunking=Chunking()
        )
        async for _ in batches:
            assert await reading.text(b"another") == "another"
            break
        await batches.aclose()  # type: ignore[attr-defined]


async def test_what_a_crash_left_is_removed_at_the_next_start(tmp_path: Path) -> None:
    left = tmp_path / "extraction" / "left" / "x"
    left.mkdir(parents=True)
    (left / "content").write_bytes(b"of a file")
    async with strangely(tmp_path):
        assert not left.exists()


async def test_two_servers_may_have_one_folder(tmp_path: Path) -> None:
    async with strangely(tmp_path) as one:
        await one.text(b"fine")
        async with strangely(tmp_path) as two:
            assert await two.text(b"fine") == "fine"
        assert await one.text(b"fine") == "fine"


SERVER = """
import asyncio, os, sys
from tests.plugins.extraction.test_processes import strangely
from pathlib import Path

async def main():
    folder = Path(sys.argv[1])
    async with strangely(folder) as reading:
        await reading.chunks(str(folder / "sign").encode(), "a.waits")

asyncio.run(main())
"""


def start_server(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SERVER, str(folder)])


async def test_no_process_outlives_a_server_that_is_killed(tmp_path: Path) -> None:
    server = start_server(tmp_path)
    sign = tmp_path / "sign"
    try:
        await eventually(lambda: sign.exists() and bool(sign.read_text()))
        pid = int(sign.read_text())
        assert lives(pid)
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()
    await eventually(lambda: not lives(pid))
