"""Files for code: under which names they come, when, and what becomes of those that cannot."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.plugins.code_interpreter.conftest import TOOL, runs_code

from famulus.testing import Script
from famulus_schemas.box_names import name_in_box

LIST = "import os\nfor name in sorted(os.listdir('.')): print(name, open(name).read())"


def resources(*file_ids: str) -> dict[str, Any]:
    return {"code_interpreter": {"file_ids": list(file_ids)}}


async def test_files_of_assistant_thread_and_messages_are_there_and_the_model_knows(
    open_bench: Any,
) -> None:
    script = Script().calls(*runs_code(LIST)).says("Read.").calls(*runs_code(LIST)).says("Again.")
    async with open_bench(script) as bench:
        ids = [await bench.file(b"%d" % n, f"{n}.csv") for n in range(4)]
        assistant = await bench.coder(tool_resources=resources(ids[0]))
        thread = await bench.thread(tool_resources=resources(ids[1]))
        await bench.ask(thread, "read", ids[2])
        assert await bench.logs(await bench.ran(thread, assistant)) == (
            "0.csv 0\n1.csv 1\n2.csv 2\n"
        )
        told = bench.instructed()
        assert f"Files that the user has given:\n- /mnt/data/0.csv ({ids[0]}, 1 bytes)" in told
        assert f"- /mnt/data/2.csv ({ids[2]}, 1 bytes)" in told
        await bench.ask(thread, "and this", ids[3])
        assert await bench.logs(await bench.ran(thread, assistant)) == (
            "0.csv 0\n1.csv 1\n2.csv 2\n3.csv 3\n"
        )
        assert f"- /mnt/data/3.csv ({ids[3]}, 1 bytes)" in bench.instructed()
        assert len(bench.sandbox.opened) == 1


async def test_files_that_are_attached_for_another_tool_are_not_there(open_bench: Any) -> None:
    script = Script().calls(*runs_code(LIST)).says("Nothing.")
    async with open_bench(script, runs={"unserved_tools": "ignore"}) as bench:
        file, thread = await bench.file(b"1"), await bench.thread()
        attached = [{"file_id": file, "tools": [{"type": "file_search"}]}]
        body = {"role": "user", "content": "?", "attachments": attached}
        await bench.ok(await bench.server.post(f"/v1/threads/{thread}/messages", body))
        assert await bench.logs(await bench.ran(thread, await bench.coder())) == ""
        assert bench.instructed() == ""


async def test_files_of_one_name_are_told_apart_and_keep_their_names(open_bench: Any) -> None:
    script = Script().calls(*runs_code(LIST)).says("Read.").calls(*runs_code(LIST)).says("Again.")
    async with open_bench(script) as bench:
        first, second = await bench.file(b"one"), await bench.file(b"two")
        third = await bench.file(b"three")
        thread = await bench.thread(tool_resources=resources(second))
        assistant = await bench.coder(tool_resources=resources(first))
        assert await bench.logs(await bench.ran(thread, assistant)) == (
            "data.csv one\ndata_2.csv two\n"
        )
        path = f"/v1/assistants/{assistant}"
        body = {"tool_resources": resources(third, first)}
        await bench.ok(await bench.server.post(path, body))
        assert await bench.logs(await bench.ran(thread, assistant)) == (
            "data.csv one\ndata_2.csv two\ndata_3.csv three\n"
        )


async def test_a_given_file_never_takes_the_place_of_one_that_code_wrote(open_bench: Any) -> None:
    wrote = "open('data.csv', 'w').write('mine'); None"
    script = Script().calls(*runs_code(wrote)).says("Ok.").calls(*runs_code(LIST)).says("Both.")
    async with open_bench(script, settings={"output_file_bytes_max": 1}) as bench:
        thread, assistant = await bench.thread("write"), await bench.coder()
        await bench.ran(thread, assistant)
        await bench.ask(thread, "read", await bench.file(b"theirs"))
        assert await bench.logs(await bench.ran(thread, assistant)) == (
            "data.csv mine\ndata_2.csv theirs\n"
        )


async def test_names_that_would_do_harm_are_made_safe(open_bench: Any) -> None:
    code = "import os\nprint(ascii(sorted(os.listdir('.'))))"
    async with open_bench(Script().calls(*runs_code(code)).says("Ok.")) as bench:
        names = ["etc/passwd", "-rf", "a\u202egnp.exe", "x" * 500 + ".csv", "größe.csv"]
        ids = [await bench.file(b"1", name) for name in names]
        thread = await bench.thread(tool_resources=resources(*ids))
        found = await bench.logs(await bench.ran(thread, await bench.coder()))
        expected = sorted(["passwd", "rf", "agnp.exe", "x" * 176 + ".csv", "größe.csv"])
        assert found == ascii(expected) + "\n"


@given(st.lists(st.text(max_size=300), max_size=20))
def test_every_name_is_one_that_a_folder_can_have_and_no_two_are_one(names: list[str]) -> None:
    taken: set[str] = set()
    for name in names:
        made = name_in_box(name.encode(errors="ignore").decode(), taken=taken)
        assert made not in taken
        assert made not in ("", ".", "..")
        assert not set("/\\\0\n\r") & set(made)
        assert len(made.encode()) < 200
        assert made[0] not in ".-"
        taken.add(made)


async def test_what_is_too_large_or_too_much_is_told_instead_of_given(open_bench: Any) -> None:
    script = Script().calls(*runs_code("import os\nprint(sorted(os.listdir('.')))")).says("Ok.")
    limits = {"input_files_max": 4, "input_file_bytes_max": 10, "input_bytes_max": 12}
    async with open_bench(script, settings=limits) as bench:
        sizes = {"old": 1, "large": 11, "a": 8, "b": 8, "c": 4}
        ids = [await bench.file(b"x" * size, name) for name, size in sizes.items()]
        thread = await bench.thread(tool_resources=resources(*ids))
        run = await bench.ran(thread, await bench.coder())
        assert await bench.logs(run) == "['a', 'c']\n"
        told = bench.instructed()
        assert "large has 11 bytes and is not there: files may have 10 bytes." in told
        assert "b is not there: all files together may have 12 bytes." in told
        assert "Of 5 given files, only the newest 4 are there." in told


async def test_a_thousand_files_are_given_without_their_names_filling_the_prompt(
    open_bench: Any,
) -> None:
    script = Script().calls(*runs_code("import os\nprint(len(os.listdir('.')))")).says("Ok.")
    async with open_bench(script, settings={"input_files_max": 60}) as bench:
        thread = await bench.thread()
        for begin in range(0, 100, 10):
            ids = [await bench.file(b"1", "same.csv") for _ in range(10)]
            await bench.ask(thread, str(begin), *ids)
        run = await bench.ran(thread, await bench.coder())
        assert await bench.logs(run) == "60\n"
        told = bench.instructed()
        assert told.count("/mnt/data/") == 50
        assert "and 10 more: list the folder to see them" in told


async def test_a_file_that_was_deleted_meanwhile_is_told(open_bench: Any) -> None:
    script = Script().calls(*runs_code(LIST)).says("Ok.")
    async with open_bench(script) as bench:
        file, thread = await bench.file(b"1"), await bench.thread()
        await bench.ask(thread, "read", file)
        await bench.ok(await bench.server.delete(f"/v1/files/{file}"))
        run = await bench.ran(thread, await bench.coder())
        assert run["status"] == "completed"
        assert bench.instructed() == "Given files that were deleted meanwhile: 1."


@pytest.mark.parametrize("is_named", [False, True])
async def test_one_may_not_name_what_is_another_projects(open_bench: Any, is_named: bool) -> None:
    async with open_bench(Script().says("never")) as bench:
        file = await bench.file(b"secret")
        body: dict[str, Any] = {"model": "scripted", "tools": [TOOL]}
        headers = {"x-test-project": "theirs"} if is_named else {}
        body["tool_resources"] = resources(file)
        answer = await bench.server.post("/v1/assistants", body, headers=headers)
        assert answer.status_code == (400 if is_named else 200)
