"""The example of README.md plots what it says that it plots."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from tests.plugins.code_interpreter.conftest import (
    BUBBLEWRAP,
    PICTURE,
    PLUGINS,
    SMALL,
    is_picture,
    runs_code,
)

from famulus.testing import Script, ScriptedBackend, live_server, make_kernel

README = (Path(__file__).parents[3] / "README.md").read_text()
PLOT = f"""{PICTURE}
import csv
assert [row["visits"] for row in csv.DictReader(open("visits.csv"))] == ["3", "5"]
display(Picture())
"""


@pytest.mark.parametrize("sandbox", [BUBBLEWRAP])
async def test_the_plot_of_the_example_is_written(
    sandbox: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = [
        block
        for block in re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
        if "code_interpreter" in block
    ]
    monkeypatch.chdir(tmp_path)
    tables: dict[str, Any] = {"models": {"default_model": "scripted"}, "bubblewrap": SMALL}
    kernel = make_kernel(
        *(*PLUGINS, sandbox),
        data_dir=tmp_path / "data",
        backend=ScriptedBackend(Script().calls(*runs_code(PLOT)).says("See the plot.")),
        settings=tables,
    )
    async with live_server(kernel) as url:
        with OpenAI(base_url=f"{url}/v1", api_key="any") as client:
            await asyncio.to_thread(exec, block, {"client": client})
    assert is_picture((tmp_path / "plot.png").read_bytes(), width=32, height=16)
