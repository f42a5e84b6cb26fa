"""The watchdog: what boxes take beyond what the kernel holds each of their processes to."""

from __future__ import annotations

import asyncio
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
    return [(box, box.usage()) for box in boxes]


def judge(box: LiveBox, usage: Usage, settings: BoxSettings) -> None:
    """End the box if it takes more than it may."""
    limits = box.limits
    if usage.memory_bytes > limits.memory_bytes:
        box.end_soon("memory", f"it took more than {limits.memory_bytes:,} bytes of memory")
    elif usage.files_bytes > limits.files_bytes:
        box.end_soon("files", f"it kept more than {limits.files_bytes:,} bytes of files")
    elif usage.files > limits.files_max:
        box.end_soon("files", f"it made more than {limits.files_max:,} files")
    elif box.is_busy:
        box.idle_cpu_s = None
    elif box.idle_cpu_s is None:
        box.idle_cpu_s = usage.cpu_s
    elif usage.cpu_s - box.idle_cpu_s > settings.idle_cpu_s:
        box.end_soon("timeout", "what its last cell left running took too much time")
