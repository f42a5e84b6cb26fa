"""A server with a box in which processes run, to be killed: `box_server.py bubblewrap|landlock`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

from tests.plugins.box_attacks import processes_of_boxes

CODE = """
import os, signal, subprocess, time
subprocess.Popen(["sleep", "60"])
for _ in range(3):
    if os.fork() == 0:
        for number in (1, 2, 15):
            signal.signal(number, signal.SIG_IGN)
        time.sleep(60)
print("on", flush=True)
time.sleep(60)
"""


async def main(name: str) -> None:
    if name == "bubblewrap":
        from tests.plugins.bubblewrap.test_bubblewrap import opened
    else:
        from tests.plugins.landlock.test_landlock import opened
    with tempfile.TemporaryDirectory() as folder:
        async with opened(Path(folder)) as sandbox:
            box = await sandbox.open("s", project="p")
            async with aclosing(cast("Any", box.run(CODE))) as outputs:
                await anext(outputs)
                print(*processes_of_boxes(), flush=True)
                await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
