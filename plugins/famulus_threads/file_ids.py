"""The files that threads name, by the parameters in which they do."""

from __future__ import annotations

from famulus_schemas.messages import files_of_messages
from famulus_schemas.threads import CreateThread
from famulus_schemas.tool_resources import named_files


def files_of_thread(
    request: CreateThread, *, within: str = "", resources_within: str = ""
) -> dict[str, str]:
    """The parameter and the id of each file that a new thread names."""
    return {
        **named_files(request.tool_resources, within=resources_within),
        **files_of_messages(request.messages, named=f"{within}messages"),
    }
