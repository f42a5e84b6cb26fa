"""The watchdog: what boxes take beyond what the kernel holds each of their processes to."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence

from famulus_boxes.box import LiveBox
from famulus_boxes.settings import BoxSettings
from famulus_boxes.wall import Usage

RUNNING_S = 0.1
"""Between two looks while code runs: what a box takes in this time is what it can take too much."""
IDLE_S = 1.0


async def watch(boxes: Callable[[], Sequence[LiveBox]], settings: BoxSettings) -> None:
    """End boxes that take more than they may, for ever."""
    looked_at = 0.0
    while True:
        await asyncio.sleep(RUNNING_S)
        now = asyncio.get_running_loop().time()
        is_full = now - looked_at >= IDLE_S
        looked_at = now if is_full else looked_at
        seen = [each for each in boxes() if is_full or each.is_running]
        if seen:
            for box, usage in await asyncio.to_thread(_usages, seen):
                judge(box, usage, settings)


def _usages(boxes: Sequence[LiveBox]) -> list[tuple[LiveBox, Usage]]:
    found = []
    for box in boxes:
        # What cannot be looked at now is looked at the next time; the others must be meanwhile.
        with contextlib.suppress(OSError):
            found.append((box, box.usage()))
    return found


def judge(box: LiveBox, usage: Usage, settings: BoxSettings) -> None:
    """End the box if it takes more than it may, or has ended by itself."""
    limits = box.limits
    if box.has_exited and not box.is_busy:
        box.end_soon("exited", "its process ended")
    elif usage.memory_bytes > limits.memory_bytes:
        box.end_soon("memory", f"it took more than {limits.memory_bytes:,} bytes of memory")
    elif usage.files_bytes > limits.files_bytes:
        box.end_soon("files", f"it kept more than {limits.files_bytes:,} bytes of files")
    elif usage.files > limits.files_max:
        box.end_soon("files", f"it made more than {limits.files_max:,} files")
    elif box.is_busy:
        box.idle_cpu_s = None
    elif box.idle_cpu_s is None:
        box.idle_cpu_s, box.seen_running_s = usage.cpu_s, 0.0
    else:
        _judge_leftovers(box, usage, settings)


def _judge_leftovers(box: LiveBox, usage: Usage, settings: BoxSettings) -> None:
    assert box.idle_cpu_s is not None
    # Processes that end before anybody looks at their time are found running as often as they run.
    box.seen_running_s += IDLE_S * min(usage.running, os.cpu_count() or 1)
    if max(usage.cpu_s - box.idle_cpu_s, box.seen_running_s) > settings.idle_cpu_s:
        box.end_soon("timeout", "what its last cell left running took too much time")
