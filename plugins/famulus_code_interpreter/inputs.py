"""The files that code may read: those of the assistant, of the thread, and of its messages."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec
from msgspec import UNSET

from famulus import Problem
from famulus_code_interpreter.remembered import Remembered
from famulus_code_interpreter.settings import CodeInterpreterSettings
from famulus_schemas.box_names import name_in_box
from famulus_schemas.messages import Attachment
from famulus_schemas.ports import Files
from famulus_schemas.sandbox import HOME
from famulus_schemas.tooling import RunResources
from famulus_schemas.tools import CodeInterpreterTool, ToolResources

NAMES_TOLD_MAX = 50


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """A given file, and its name in the box."""

    file_id: str
    name: str
    bytes: int


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """What a run's code may read."""

    files: tuple[Input, ...] = ()
    left_out: tuple[str, ...] = ()
    """A sentence for each thing that is not there."""

    def names(self) -> dict[str, str]:
        """Their names, by the files' ids."""
        return {file.file_id: file.name for file in self.files}

    def told(self) -> str:
        """What the model is told of them."""
        # By its id too, which is how a message names it.
        lines = [
            f"- {HOME}/{file.name} ({file.file_id}, {file.bytes} bytes)" for file in self.files
        ]
        if len(lines) > NAMES_TOLD_MAX:
            more = len(lines) - NAMES_TOLD_MAX
            lines = [*lines[:NAMES_TOLD_MAX], f"- and {more} more: list the folder to see them"]
        parts = ["Files that the user has given:\n" + "\n".join(lines)] if lines else []
        return "\n".join([*parts, *self.left_out])


async def inputs_of(
    project: str,
    resources: RunResources,
    remembered: Remembered,
    *,
    written: Collection[str],
    files: Files,
    settings: CodeInterpreterSettings,
) -> Inputs:
    """What there is of what a run names, within the limits, under names that stay the same.

    `written` are names that are in the box by the code's own doing.
    """
    found: list[Input] = []
    left_out: list[str] = []
    taken = {*remembered.inputs.values(), *remembered.made, *written}
    gone, bytes_left = 0, settings.input_bytes_max
    ids = list(_ids(resources))
    for file_id in ids[-settings.input_files_max :]:
        try:
            file = await files.describe(project, file_id)
        except Problem as problem:
            if problem.status != 404:
                raise
            gone += 1
            continue
        name = remembered.inputs.get(file_id) or name_in_box(file.filename, taken=taken)
        if file.bytes > settings.input_file_bytes_max:
            left_out.append(
                f"{name} has {file.bytes} bytes and is not there: files may have "
                f"{settings.input_file_bytes_max} bytes."
            )
            continue
        if file.bytes > bytes_left:
            left_out.append(
                f"{name} is not there: all files together may have "
                f"{settings.input_bytes_max} bytes."
            )
            continue
        taken.add(name)
        bytes_left -= file.bytes
        found.append(Input(file_id=file_id, name=name, bytes=file.bytes))
    if gone:
        left_out.append(f"Given files that were deleted meanwhile: {gone}.")
    if len(ids) > settings.input_files_max:
        left_out.append(
            f"Of {len(ids)} given files, only the newest {settings.input_files_max} are there."
        )
    return Inputs(files=tuple(found), left_out=tuple(left_out[:NAMES_TOLD_MAX]))


def _ids(resources: RunResources) -> Iterator[str]:
    """Each file once, in the order in which it was given."""
    seen: set[str] = set()
    kept = (resources.assistant, resources.thread)
    named = [id for of in kept for id in _of(of)] + list(_attached(resources.attachments))
    for id in named:
        if id not in seen:
            seen.add(id)
            yield id


def _of(resources: ToolResources) -> list[str]:
    found = resources.code_interpreter
    return [] if found is UNSET else found.file_ids


def _attached(attachments: tuple[Attachment, ...]) -> Iterator[str]:
    for attachment in attachments:
        is_meant = any(isinstance(tool, CodeInterpreterTool) for tool in attachment.tools)
        if is_meant and attachment.file_id is not UNSET:
            yield attachment.file_id
