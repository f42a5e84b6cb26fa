"""Code in runs: what it puts out, what lasts from call to call, and what becomes of its files."""

from __future__ import annotations

from typing import Any

from tests.plugins.code_interpreter.conftest import PICTURE, is_picture, runs_code

from famulus.testing import Script, tool


async def test_what_code_prints_is_shown_and_told(open_bench: Any) -> None:
    script = Script().calls(*runs_code("print(1 + 1)\n'done'")).says("Two.")
    async with open_bench(script) as bench:
        run = await bench.ran(await bench.thread("1 + 1?"), await bench.coder())
        assert run["status"] == "completed"
        assert await bench.outputs(run) == [{"type": "logs", "logs": "2\n'done'\n"}]
        assert bench.told() == ["2\n'done'"]
        (function,) = [one.function for one in bench.backend.chats[0].chat.tools]
        assert function.name == "python"
        assert "numpy 2.3.1" in function.description


async def test_an_error_is_told_as_a_traceback_and_the_run_goes_on(open_bench: Any) -> None:
    script = Script().calls(*runs_code("x = 1\nx / 0")).says("Not possible.")
    async with open_bench(script) as bench:
        run = await bench.ran(await bench.thread("1 / 0?"), await bench.coder())
        assert run["status"] == "completed"
        (told,) = bench.told()
        assert "line 2" in told
        assert told.endswith("ZeroDivisionError: division by zero")
        assert await bench.logs(run) == told + "\n"


async def test_a_missing_module_is_told_with_what_there_is_instead(open_bench: Any) -> None:
    script = Script().calls(*runs_code("import no_such_module")).says("Hm.")
    async with open_bench(script) as bench:
        run = await bench.ran(await bench.thread("?"), await bench.coder())
        (told,) = bench.told()
        assert "No module named 'no_such_module'" in told
        assert "Nothing can be installed here" in told
        assert "numpy" in told
        assert "Nothing can be installed" not in await bench.logs(run)


async def test_code_that_says_nothing_is_told_to_have_run(open_bench: Any) -> None:
    async with open_bench(Script().calls(*runs_code("x = 1")).says("Ok.")) as bench:
        run = await bench.ran(await bench.thread("?"), await bench.coder())
        assert bench.told() == ["The code ran, and put out nothing."]
        assert await bench.outputs(run) == []


async def test_arguments_without_code_run_nothing(open_bench: Any) -> None:
    script = Script().calls(tool("python", {"program": "print(1)"})).says("Ok.")
    async with open_bench(script) as bench:
        run = await bench.ran(await bench.thread("?"), await bench.coder())
        assert run["status"] == "completed"
        assert bench.sandbox.opened == []
        assert "code is missing" in bench.told()[0]


async def test_variables_last_for_the_threads_next_runs_and_for_no_other_thread(
    open_bench: Any,
) -> None:
    script = Script().calls(*runs_code("x = 20")).calls(*runs_code("x += 1", id="b")).says("Set.")
    script = script.calls(*runs_code("print(x * 2)")).says("42.")
    script = script.calls(*runs_code("print(x)")).says("Unknown.")
    async with open_bench(script) as bench:
        assistant, thread = await bench.coder(), await bench.thread("x")
        await bench.ran(thread, assistant)
        assert await bench.logs(await bench.ran(thread, assistant)) == "42\n"
        other = await bench.ran(await bench.thread("x"), assistant)
        assert "NameError" in await bench.logs(other)
        assert len(bench.sandbox.opened) == 2


async def test_pieces_of_code_of_one_answer_run_one_after_the_other(open_bench: Any) -> None:
    codes = [f"n = globals().get('n', 0) + 1\nprint({number}, n)" for number in range(1, 5)]
    async with open_bench(Script().calls(*runs_code(*codes)).says("Ok.")) as bench:
        run = await bench.ran(await bench.thread("?"), await bench.coder())
        assert await bench.logs(run) == "1 1\n2 2\n3 3\n4 4\n"
        assert len(bench.sandbox.opened) == 1


async def test_a_picture_is_shown_kept_and_part_of_the_answer(open_bench: Any) -> None:
    code = PICTURE + "print('before')\ndisplay(Picture())\nprint('after')"
    async with open_bench(Script().calls(*runs_code(code)).says("See.")) as bench:
        run = await bench.ran(await bench.thread("draw"), await bench.coder())
        before, image, after = await bench.outputs(run)
        assert (before["logs"], after["logs"]) == ("before\n", "after\n")
        file_id = image["image"]["file_id"]
        file = await bench.ok(await bench.server.get(f"/v1/files/{file_id}"))
        assert (file["filename"], file["purpose"]) == ("image_1_1.png", "assistants_output")
        assert is_picture(await bench.content(file_id), width=32, height=16)
        shown, text = (await bench.said(run))["content"]
        assert shown == {
            "type": "image_file",
            "image_file": {"file_id": file_id, "detail": "auto"},
        }
        assert text["text"]["value"] == "See."
        assert bench.told() == ["before\n[The image image_1_1.png is shown to the user.]\nafter"]


async def test_a_file_that_the_answer_links_can_be_fetched_by_its_annotation(
    open_bench: Any,
) -> None:
    code = "import os\nos.mkdir('out')\nopen('out/a b.csv', 'w').write('1,2')\nNone"
    links = "See sandbox:/mnt/data/out/a b.csv or sandbox:/mnt/data/out/a%20b.csv."
    script = Script().calls(*runs_code(code)).says(links).says(links)
    async with open_bench(script) as bench:
        thread, assistant = await bench.thread("write"), await bench.coder()
        for run in [await bench.ran(thread, assistant)]:
            text = (await bench.said(run))["content"][0]["text"]
            assert text["value"] == links
            first, second = text["annotations"]
            assert first["type"] == second["type"] == "file_path"
            assert first["text"] == "sandbox:/mnt/data/out/a b.csv"
            assert first["file_path"] == second["file_path"]
            file_id = first["file_path"]["file_id"]
            assert await bench.content(file_id) == b"1,2"
            file = await bench.ok(await bench.server.get(f"/v1/files/{file_id}"))
            assert (file["filename"], file["purpose"]) == ("a b.csv", "assistants_output")
        assert "sandbox:/mnt/data/out/a b.csv (3 bytes)" in bench.told()[0]


async def test_a_later_run_can_link_a_file_that_an_earlier_one_wrote(open_bench: Any) -> None:
    script = Script().calls(*runs_code("open('a.txt', 'w').write('1')")).says("Written.")
    script = script.calls(*runs_code("open('b.txt', 'w').write('2')")).says(
        "sandbox:/mnt/data/a.txt and sandbox:/mnt/data/b.txt"
    )
    async with open_bench(script) as bench:
        thread, assistant = await bench.thread("write"), await bench.coder()
        await bench.ran(thread, assistant)
        message = await bench.said(await bench.ran(thread, assistant))
        annotations = message["content"][0]["text"]["annotations"]
        contents = [await bench.content(one["file_path"]["file_id"]) for one in annotations]
        assert contents == [b"1", b"2"]


async def test_a_file_that_is_written_again_is_linked_as_it_is_now(open_bench: Any) -> None:
    script = Script().calls(*runs_code("open('a.txt', 'w').write('old')"))
    script = script.calls(*runs_code("open('a.txt', 'w').write('newer')", id="b"))
    script = script.says("sandbox:/mnt/data/a.txt")
    async with open_bench(script) as bench:
        run = await bench.ran(await bench.thread("write"), await bench.coder())
        (annotation,) = (await bench.said(run))["content"][0]["text"]["annotations"]
        assert await bench.content(annotation["file_path"]["file_id"]) == b"newer"


async def test_written_files_that_nothing_links_are_kept_but_for_hidden_ones(
    open_bench: Any,
) -> None:
    code = """
import os
os.makedirs('.cache/fonts'), os.makedirs('__pycache__')
for name in ['a.txt', '.secret', '.cache/fonts/f', '__pycache__/m.pyc']:
    open(name, 'w').write(name)
"""
    async with open_bench(Script().calls(*runs_code(code)).says("Done.")) as bench:
        await bench.ran(await bench.thread("write"), await bench.coder())
        listed = await bench.server.get("/v1/files", params={"purpose": "assistants_output"})
        assert [file["filename"] for file in listed.json()["data"]] == ["a.txt"]


async def test_a_thread_that_is_deleted_takes_its_box_along(open_bench: Any) -> None:
    async with open_bench(Script().calls(*runs_code("x = 1")).says("Ok.")) as bench:
        thread = await bench.thread("?")
        await bench.ran(thread, await bench.coder())
        (box,) = bench.sandbox.opened
        sessions = bench.server.plugin("code_interpreter").sessions
        await sessions.sweep()
        assert box.is_alive
        await bench.ok(await bench.server.delete(f"/v1/threads/{thread}"))
        await sessions.sweep()
        assert not box.is_alive
        assert (await sessions.remembered("default", thread)).box == ""
