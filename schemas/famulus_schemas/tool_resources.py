"""Tool resources between what a client gives at a creation and what is kept.

What is kept names files and stores by id. Each tool that needs resources has its own entry, be
it empty, as OpenAI's API answered.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from famulus_schemas.errors import INVALID, MISSING_PARAMETER, Fault, Problem
from famulus_schemas.tools import (
    CodeInterpreterResources,
    CodeInterpreterTool,
    CreateAttachedVectorStore,
    CreateToolResources,
    FileSearchResources,
    FileSearchTool,
    Tool,
    ToolResources,
    check_tool_resources,
)

NO_VECTOR_STORES = Fault(
    400,
    "unsupported",
    "This server has no vector stores, so it cannot make what '{name}' asks for. Leave it out.",
)


def settled(
    resources: CreateToolResources | None, *, within: str = "", made: str | None = None
) -> ToolResources:
    """What is kept of the resources given at a creation.

    `made` is the id of the store that `wanted_store` tells of. Raises Problem where they
    contradict each other, or ask for a store and none was made; the parameter that it names
    begins with `within`.
    """
    if resources is None:
        return ToolResources()
    wanted = wanted_store(resources, within=within)
    found = resources.file_search
    if found is UNSET:
        return ToolResources(code_interpreter=resources.code_interpreter)
    if wanted is not None and made is None:
        name = f"{within}tool_resources.file_search.vector_stores"
        raise Problem(NO_VECTOR_STORES, param=name, name=name)
    ids = [] if found.vector_store_ids is UNSET else found.vector_store_ids
    return ToolResources(
        code_interpreter=resources.code_interpreter,
        file_search=FileSearchResources(vector_store_ids=ids if made is None else [made]),
    )


def wanted_store(
    resources: CreateToolResources | None, *, within: str = ""
) -> tuple[str, CreateAttachedVectorStore] | None:
    """The store that resources ask to be made, with the parameter that does.

    Raises Problem where they contradict each other.
    """
    if resources is None:
        return None
    fault = check_tool_resources(resources)
    if fault is not None:
        raise _problem(within + fault)
    found = resources.file_search
    if found is UNSET or found.vector_stores is UNSET or not found.vector_stores:
        return None
    return f"{within}tool_resources.file_search.vector_stores[0]", found.vector_stores[0]


def named_stores(
    resources: CreateToolResources | ToolResources | UnsetType | None, *, within: str = ""
) -> dict[str, str]:
    """The vector stores that resources name: the parameter of each, and its id."""
    if not resources or resources.file_search is UNSET:
        return {}
    ids = resources.file_search.vector_store_ids
    name = f"{within}tool_resources.file_search.vector_store_ids"
    return {} if ids is UNSET else {f"{name}[{index}]": id for index, id in enumerate(ids)}


def named_files(
    resources: CreateToolResources | ToolResources | UnsetType | None, *, within: str = ""
) -> dict[str, str]:
    """The files that resources name: the parameter of each, and its id."""
    if not resources or resources.code_interpreter is UNSET:
        return {}
    name = f"{within}tool_resources.code_interpreter.file_ids"
    ids = resources.code_interpreter.file_ids
    return {f"{name}[{index}]": id for index, id in enumerate(ids)}


def with_tools(resources: ToolResources | None, tools: Sequence[Tool]) -> ToolResources:
    """The resources with an empty entry for each of these tools that has none."""
    kept = resources or ToolResources()
    if kept.code_interpreter is UNSET and _has(tools, CodeInterpreterTool):
        kept = replace(kept, code_interpreter=CodeInterpreterResources())
    if kept.file_search is UNSET and _has(tools, FileSearchTool):
        kept = replace(kept, file_search=FileSearchResources())
    return kept


def _has(tools: Sequence[Tool], kind: type[Tool]) -> bool:
    return any(isinstance(tool, kind) for tool in tools)


def _problem(fault: str) -> Problem:
    if fault.endswith("file_search"):
        name = f"{fault}.vector_store_ids"
        return Problem(MISSING_PARAMETER, param=name, name=name)
    if fault.endswith("vector_stores"):
        reason = "it may not be given together with vector_store_ids."
    else:
        reason = "it may be at most half of max_chunk_size_tokens."
    return Problem(INVALID, param=fault, name=fault, reason=reason)
