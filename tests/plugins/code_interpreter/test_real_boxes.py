"""The same on boxes that are shut in: what is different there must make no difference."""

from __future__ import annotations

from typing import Any

import pytest
from tests.plugins.code_interpreter.conftest import BUBBLEWRAP, PICTURE, is_picture, runs_code

from famulus.testing import Script
from famulus_code_interpreter.sessions import FRESH

pytestmark = pytest.mark.parametrize("sandbox", [BUBBLEWRAP])


async def test_a_conversation_on_one_box(sandbox: str, open_bench: Any) -> None:
    codes = [
        "x = 20\nprint(open('/mnt/data/data.csv').read())\nx + 1",
        "import no_such_module",
        PICTURE + "display(Picture())\nopen('/mnt/data/plot.png', 'wb').write(b'p'); None",
        "print('begun', flush=True)\nwhile True: pass",
        "print(x)",
        "import os\nos._exit(1)",
        "print('x' in globals(), sorted(os.listdir('/mnt/data')))\nimport os",
        "import os\nprint('x' in globals(), sorted(os.listdir('/mnt/data')))",
    ]
    script = Script()
    for at, code in enumerate(codes):
        script = script.calls(*runs_code(code, id=f"call{at}"))
    script = script.says("See sandbox:/mnt/data/plot.png")
    async with open_bench(script, settings={"cell_s": 1.0}, sandbox=sandbox) as bench:
        thread, assistant = await bench.thread(), await bench.coder()
        await bench.ask(thread, "go", await bench.file(b"1,2"))
        run = await bench.ran(thread, assistant)
        assert run["status"] == "completed", run
        told = bench.told()
        assert told[0] == "1,2\n21"
        assert "Nothing can be installed here" in told[1]
        assert "[The image image_3_1.png is shown to the user.]" in told[2]
        assert "sandbox:/mnt/data/plot.png (1 bytes)" in told[2]
        assert told[3].startswith("begun\n")
        assert "[The code was stopped after 1 seconds." in told[3]
        assert told[4] == "20"
        assert "the next call begins in a new session" in told[5]
        assert FRESH in told[6]
        assert told[7] == "False ['data.csv', 'plot.png']"
        message = await bench.said(run)
        image, text = message["content"]
        picture = await bench.content(image["image_file"]["file_id"])
        assert is_picture(picture, width=32, height=16)
        (annotation,) = text["text"]["annotations"]
        assert await bench.content(annotation["file_path"]["file_id"]) == b"p"


async def test_matplotlibs_figures_are_shown_where_boxes_have_it(
    sandbox: str, open_bench: Any
) -> None:
    code = "import matplotlib.pyplot as plt\nplt.figure(figsize=(2, 1), dpi=50)\nplt.plot([1, 2])"
    async with open_bench(Script().calls(*runs_code(code)).says("See."), sandbox=sandbox) as bench:
        run = await bench.ran(await bench.thread("plot"), await bench.coder())
        if "Nothing can be installed" in bench.told()[0]:
            pytest.skip("NO MATPLOTLIB IN BOXES: make their environment, see famulus_boxes")
        (image,) = [one for one in await bench.outputs(run) if one["type"] == "image"]
        content = await bench.content(image["image"]["file_id"])
        assert content.startswith(b"\x89PNG")


async def test_what_code_names_its_files_does_no_harm(sandbox: str, open_bench: Any) -> None:
    code = r"""
import os
for name in ['a\nb', '\u202egnp.exe', b'\xff\xfe', 'n' * 200, '-rf', 'ok.txt']:
    open(name, 'w').write('x')
os.symlink('/etc/passwd', 'link'), os.mkfifo('pipe'), os.mkdir('..data')
"""
    async with open_bench(Script().calls(*runs_code(code)).says("Ok."), sandbox=sandbox) as bench:
        run = await bench.ran(await bench.thread("write"), await bench.coder())
        assert run["status"] == "completed"
        assert "Error" not in bench.told()[0], bench.told()
        listed = (await bench.server.get("/v1/files")).json()["data"]
        names = {file["filename"] for file in listed}
        assert {"ok.txt", "-rf", "n" * 200} <= names
        assert not {"link", "pipe"} & names
        assert all("\n" not in name for name in names)


async def test_what_a_box_had_comes_again_after_a_restart(sandbox: str, open_bench: Any) -> None:
    code = "x = 1\nimport os\nos.mkdir('out')\nopen('out/a.txt', 'w').write('kept')"
    async with open_bench(Script().calls(*runs_code(code)).says("Ok."), sandbox=sandbox) as bench:
        thread, assistant = await bench.thread("?"), await bench.coder()
        await bench.ran(thread, assistant)
    code = "print('x' in globals(), open('out/a.txt').read())"
    async with open_bench(Script().calls(*runs_code(code)).says("Ok."), sandbox=sandbox) as bench:
        assert await bench.logs(await bench.ran(thread, assistant)) == "False kept\n"
