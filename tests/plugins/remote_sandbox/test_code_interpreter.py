"""Assistants run code in a gateway's kernels as they do in boxes of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.plugins.code_interpreter.conftest import PICTURE, is_picture, open_bench, runs_code
from tests.plugins.remote_sandbox.conftest import TOKEN

from famulus.testing import Script

pytestmark = pytest.mark.anyio

__all__ = ["open_bench"]


async def test_a_conversation_on_one_kernel(gateway: str, tmp_path: Path, open_bench: Any) -> None:
    codes = [
        "x = 20\nprint(open('/mnt/data/data.csv').read())\nx + 1",
        PICTURE + "display(Picture())\nopen('/mnt/data/plot.png', 'wb').write(b'p'); None",
        "print('begun', flush=True)\nwhile True: pass",
        "print(x)",
        "import os\nos._exit(1)",
        "import os\nprint('x' in globals(), sorted(os.listdir('/mnt/data')))",
    ]
    script = Script()
    for at, code in enumerate(codes):
        script = script.calls(*runs_code(code, id=f"call{at}"))
    script = script.says("See sandbox:/mnt/data/plot.png")
    boxes = {
        "url": gateway,
        "token": TOKEN,
        "level": "confined",
        "homes": str(tmp_path / "homes"),
        "warm": 0,
        "probe_after_s": 3600,
    }
    async with open_bench(
        script,
        settings={"cell_s": 1.0},
        sandbox="remote_sandbox",
        boxes=boxes,
        ports={"sandbox": "remote_sandbox"},
    ) as bench:
        thread, assistant = await bench.thread(), await bench.coder()
        await bench.ask(thread, "go", await bench.file(b"1,2"))
        run = await bench.ran(thread, assistant)
        assert run["status"] == "completed", run
        told = bench.told()
        assert told[0] == "1,2\n21"
        assert "is shown to the user.]" in told[1]
        assert told[2].startswith("begun\n")
        assert "[The code was stopped after 1 seconds." in told[2]
        assert told[3] == "20"
        assert "the next call begins in a new session" in told[4]
        assert told[5].startswith("False ['data.csv', 'plot.png']")
        image, text = (await bench.said(run))["content"]
        picture = await bench.content(image["image_file"]["file_id"])
        assert is_picture(picture, width=32, height=16)
        (annotation,) = text["text"]["annotations"]
        assert await bench.content(annotation["file_path"]["file_id"]) == b"p"
