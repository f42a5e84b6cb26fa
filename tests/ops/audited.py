"""A whole server does one of everything, and every piece of data that becomes code is written down.

Run as a program, since a hook of the interpreter's stays for good. Imports are let be: what they
read are our own modules; and so is `typing`, which evaluates the annotations in them. Everything
else that unpickles, compiles or executes is printed.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import typing
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).parents[2]
CODE = ("pickle.find_class", "marshal.loads", "marshal.load", "compile", "exec", "code.__new__")
IMPORTING = "<frozen importlib"

found: list[str] = []
is_armed = False


def stack() -> list[FrameType]:
    frames = []
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames


def listen(event: str, arguments: tuple[object, ...]) -> None:
    """Write down what is no import."""
    if not is_armed or event not in CODE:
        return
    frames = stack()
    if frames[0].f_code.co_filename == typing.__file__:
        return
    if not any(frame.f_code.co_filename.startswith(IMPORTING) for frame in frames):
        places = [f"{frame.f_code.co_filename}:{frame.f_lineno}" for frame in frames[:6]]
        found.append(f"{event} by {' < '.join(places)}")


async def main(tries: str) -> None:
    """One of everything, or, to see that it would be seen, what is asked for."""
    global is_armed
    from tests.isolation.tenants import two_tenants

    with tempfile.TemporaryDirectory() as folder:
        async with two_tenants(Path(folder)) as (me, _):
            is_armed = True
            if tries:
                exec(tries)
            await me.things(waits=False)
            is_armed = False


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.addaudithook(listen)
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else ""))
    for line in found:
        print(line)
    print(f"heard {len(found)}")
