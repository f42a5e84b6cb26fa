"""Boxes that end: by time, by the code, with the server, or because there is no room."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace
from tests.plugins.code_interpreter.conftest import PLUGINS, runs_code
from tests.plugins.code_interpreter.trusted_sandbox import TrustedSandbox
from tests.plugins.runs.conftest import Api

from famulus.testing import FixedClock, Script, ScriptedBackend, kernel_with
from famulus_code_interpreter.sessions import FRESH

LIST = "import os\nprint(sorted(os.listdir('.')), 'x' in globals())"


async def test_after_a_restart_files_come_again_and_the_model_knows_what_is_gone(
    open_bench: Any,
) -> None:
    code = "x = 1\nopen('made.txt', 'w').write('made')\nprint(open('data.csv').read())"
    async with open_bench(Script().calls(*runs_code(code)).says("Ok.")) as bench:
        thread, assistant = await bench.thread("?"), await bench.coder()
        await bench.ask(thread, "read", await bench.file(b"1,2"))
        run = await bench.ran(thread, assistant)
        assert FRESH not in bench.told()[0]
    code = "print(x if 'x' in globals() else 'gone', open('made.txt').read())"
    links = "sandbox:/mnt/data/made.txt"
    script = Script().calls(*runs_code(code)).calls(*runs_code(LIST, id="b")).says(links)
    async with open_bench(script) as bench:
        run = await bench.ran(thread, assistant)
        assert await bench.logs(run) == "gone made\n['data.csv', 'made.txt'] False\n"
        first, second = bench.told()[-2:]
        assert first.endswith(FRESH)
        assert FRESH not in second
        assert FRESH not in await bench.logs(run)
        assert (await bench.said(run))["content"][0]["text"]["annotations"]


async def test_what_the_code_changed_of_a_given_file_comes_again_as_it_changed_it(
    open_bench: Any,
) -> None:
    code = "open('data.csv', 'a').write('more')"
    async with open_bench(Script().calls(*runs_code(code)).says("Ok.")) as bench:
        thread, assistant = await bench.thread("?"), await bench.coder()
        await bench.ask(thread, "read", await bench.file(b"1,2\n"))
        await bench.ran(thread, assistant)
    async with open_bench(
        Script().calls(*runs_code("print(open('data.csv').read())")).says("Ok.")
    ) as bench:
        assert await bench.logs(await bench.ran(thread, assistant)) == "1,2\nmore\n"


async def test_a_box_that_another_process_has_gone_on_without_is_not_gone_on_with(
    open_bench: Any,
) -> None:
    script = Script().calls(*runs_code("x = 1")).says("Ok.")
    script = script.calls(*runs_code("print('x' in globals())")).says("Ok.")
    async with open_bench(script) as bench:
        thread, assistant = await bench.thread("?"), await bench.coder()
        await bench.ran(thread, assistant)
        # As a process does that runs the thread's next code.
        sessions = bench.server.plugin("code_interpreter").sessions
        async with sessions.of("default", thread) as session:
            await sessions.save(session, lambda known: known.in_box("box_elsewhere", {}))
        assert await bench.logs(await bench.ran(thread, assistant)) == "False\n"
        assert bench.told()[-1].endswith(FRESH)
        assert [box.is_alive for box in bench.sandbox.opened] == [False, True]


async def test_a_file_that_was_deleted_does_not_come_again(open_bench: Any) -> None:
    code = "import os\nfor n in 'ab': open(n, 'w').write(n)"
    script = Script().calls(*runs_code(code)).calls(*runs_code("os.remove('a')", id="b"))
    async with open_bench(script.says("Ok.")) as bench:
        thread, assistant = await bench.thread("?"), await bench.coder()
        await bench.ran(thread, assistant)
        listed = (await bench.server.get("/v1/files")).json()["data"]
        (b,) = [file["id"] for file in listed if file["filename"] == "b"]
        await bench.ok(await bench.server.delete(f"/v1/files/{b}"))
    async with open_bench(Script().calls(*runs_code(LIST)).says("Ok.")) as bench:
        assert await bench.logs(await bench.ran(thread, assistant)) == "[] False\n"
        assert "b was deleted and is not there." in bench.told()[-1]


async def test_code_that_ends_its_box_is_told_so_and_the_next_call_begins_anew(
    open_bench: Any,
) -> None:
    script = Script().calls(*runs_code("x = open('a', 'w').write('a')"))
    script = script.calls(*runs_code("print('so far')\nimport os\nos._exit(3)", id="b"))
    script = script.calls(*runs_code(LIST, id="c")).says("Ok.")
    async with open_bench(script) as bench:
        run = await bench.ran(await bench.thread("?"), await bench.coder())
        assert run["status"] == "completed"
        logs = await bench.logs(run)
        assert logs.startswith("so far\n[The process ended. All variables are lost;")
        assert logs.endswith("['a'] False\n")
        assert bench.told()[-1].endswith(FRESH)


async def test_code_that_takes_too_long_is_stopped_and_keeps_its_variables(
    open_bench: Any,
) -> None:
    code = "x = 'kept'\nprint('begun')\nimport time\nwhile True: time.sleep(0.01)"
    script = Script().calls(*runs_code(code)).calls(*runs_code("print(x)", id="b")).says("Ok.")
    async with open_bench(script, settings={"cell_s": 0.5}) as bench:
        run = await bench.ran(await bench.thread("?"), await bench.coder())
        logs = await bench.logs(run)
        assert logs.startswith("begun\n")
        assert "[The code was stopped after 0.5 seconds." in logs
        assert logs.endswith("kept\n")
        assert len(bench.sandbox.opened) == 1


async def test_too_much_output_is_cut_for_the_step_and_shortened_for_the_model(
    open_bench: Any,
) -> None:
    script = Script().calls(*runs_code("print('a' * 600 + 'z' * 600)")).says("Long.")
    limits = {"stream_bytes_max": 1000, "told_chars_max": 300}
    async with open_bench(script, settings=limits) as bench:
        run = await bench.ran(await bench.thread("?"), await bench.coder())
        logs = await bench.logs(run)
        assert logs.startswith("a" * 600 + "z" * 400 + "\n[")
        assert "more bytes of stdout are left out.]" in logs
        (told,) = bench.told()
        assert "characters are left out here" in told
        assert len(told) < 400
        assert told.startswith("a" * 150)
        assert told.endswith("left out.]")


async def test_only_so_many_files_of_one_call_are_kept(open_bench: Any) -> None:
    code = "for n in range(4): open(f'{n}.txt', 'w').write('x')\nopen('0.txt', 'w').write('x' * 11)"
    limits = {"output_files_max": 3, "output_file_bytes_max": 10}
    async with open_bench(Script().calls(*runs_code(code)).says("Ok."), settings=limits) as bench:
        await bench.ran(await bench.thread("?"), await bench.coder())
        listed = (await bench.server.get("/v1/files")).json()["data"]
        assert sorted(file["filename"] for file in listed) == ["1.txt", "2.txt"]
        (told,) = bench.told()
        assert "[0.txt has 11 bytes and is not kept: the limit is 10.]" in told
        assert "[1 more files were written than are kept of one call;" in told


@pytest.mark.parametrize(("seconds", "is_over"), [(90, False), (101, True)])
async def test_a_box_is_closed_when_its_thread_is_silent_for_too_long(
    seconds: float, is_over: bool, open_bench: Any
) -> None:
    clock = FixedClock()
    limits = {"session_idle_s": 100, "session_s": 1000}
    script = Script().calls(*runs_code("x = 1")).says("Ok.").calls(*runs_code(LIST)).says("Ok.")
    async with open_bench(script, settings=limits, clock=clock) as bench:
        thread, assistant = await bench.thread("?"), await bench.coder()
        await bench.ran(thread, assistant)
        clock.move(seconds)
        await bench.server.plugin("code_interpreter").sessions.sweep()
        assert bench.sandbox.opened[0].is_alive != is_over
        run = await bench.ran(thread, assistant)
        assert await bench.logs(run) == f"[] {not is_over}\n"


async def test_boxes_that_are_open_can_be_counted(open_bench: Any) -> None:
    async with open_bench(Script().calls(*runs_code("1")).says("Ok.")) as bench:
        plugin = bench.server.plugin("code_interpreter")
        [gauge] = plugin.register_gauges()
        assert gauge.read() == {("busy",): 0, ("idle",): 0}
        thread, assistant = await bench.thread("?"), await bench.coder()
        await bench.ran(thread, assistant)
        assert gauge.read() == {("busy",): 0, ("idle",): 1}
        async with plugin.sessions.of("default", thread):
            assert gauge.read() == {("busy",): 1, ("idle",): 0}


async def test_a_box_does_not_outlive_its_time_however_often_it_is_used(open_bench: Any) -> None:
    clock = FixedClock()
    limits = {"session_idle_s": 100, "session_s": 150}
    script = Script()
    for _ in range(4):
        script = script.calls(*runs_code(LIST + "\nx = 1")).says("Ok.")
    async with open_bench(script, settings=limits, clock=clock) as bench:
        thread, assistant = await bench.thread("?"), await bench.coder()
        found = []
        for _ in range(4):
            found.append(await bench.logs(await bench.ran(thread, assistant)))
            clock.move(60)
        assert found == ["[] False\n", "[] True\n", "[] True\n", "[] False\n"]


async def test_without_room_the_model_is_told_and_can_answer(open_bench: Any) -> None:
    script = Script().calls(*runs_code("x = 1")).says("Later.")
    async with open_bench(script) as bench:
        bench.sandbox.is_busy = True
        run = await bench.ran(await bench.thread("?"), await bench.coder())
        assert run["status"] == "completed"
        (told,) = bench.told()
        assert told.startswith("Error: the code was not run, because all 1 boxes are in use.")


async def test_where_boxes_cannot_be_shut_code_fails_its_run_and_health_says_why(
    open_bench: Any,
) -> None:
    reason = "user namespaces are off: allow them with sysctl"
    script = Script().says("No code needed.").calls(*runs_code("x = 1"))
    async with open_bench(script) as bench:
        bench.sandbox.found = replace(bench.sandbox.found, level="none", reasons=(reason,))
        assistant = await bench.coder()
        assert (await bench.ran(await bench.thread("hi"), assistant))["status"] == "completed"
        run = await bench.ran(await bench.thread("?"), assistant)
        assert run["status"] == "failed"
        assert run["last_error"] == {
            "code": "server_error",
            "message": f"The code interpreter is off: {reason}.",
        }
        (step,) = await bench.steps(run)
        assert step["status"] == "failed"
        assert step["last_error"] == run["last_error"]


class NoBoxes(TrustedSandbox):
    """A machine on which no box can be shut."""

    name = "no_boxes"

    async def probe(self) -> Any:
        return replace(self.found, level="none", reasons=("the kernel is too old",))


@pytest.mark.parametrize(
    ("provider", "reason"),
    [((), "no plugin of this server provides a sandbox"), ((NoBoxes,), "the kernel is too old")],
)
async def test_without_a_sandbox_the_server_serves_and_says_so(
    provider: tuple[Any, ...], reason: str
) -> None:
    backend = ScriptedBackend(Script().calls(*runs_code("x = 1")))
    async with kernel_with(*PLUGINS, *provider, backend=backend) as server:
        api = Api(server, backend)
        assistant = await api.assistant(tools=[{"type": "code_interpreter"}])
        if not provider:
            run = await api.ran(await api.thread("?"), assistant)
            assert run["status"] == "failed"
            assert reason in run["last_error"]["message"]
        for _ in range(100):
            listed = (await server.get("/-/plugins")).json()["data"]
            (found,) = [one for one in listed if one["name"] == "code_interpreter"]
            if reason in found["health"]["detail"]:
                break
            await asyncio.sleep(0.01)
        assert found["state"] == "running"
        assert found["health"]["status"] == "degraded"
        assert reason in found["health"]["detail"]


async def test_a_cancelled_run_stops_its_code(open_bench: Any) -> None:
    code = "print('begun')\nimport time\nwhile True: time.sleep(0.01)"
    async with open_bench(Script().calls(*runs_code(code)).says("never")) as bench:
        run = await bench.run(await bench.thread("?"), await bench.coder())
        while not bench.sandbox.opened or not bench.sandbox.opened[0].cells:
            await asyncio.sleep(0.005)
        await bench.ok(await bench.cancel(run))
        assert (await bench.ended(run))["status"] == "cancelled"
        assert not bench.sandbox.opened[0].is_alive


async def test_two_projects_with_one_threads_id_have_two_boxes(open_bench: Any) -> None:
    async with open_bench(Script().says("never")) as bench:
        sessions = bench.server.plugin("code_interpreter").sessions
        async with sessions.of("a", "thread_1") as one, sessions.of("b", "thread_1") as other:
            assert one is not other
