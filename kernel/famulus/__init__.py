"""Famulus: a home for code written against the OpenAI Assistants API.

These are the names that a plugin needs; everything else of the kernel is its own business.
"""

from famulus.answers import Bytes, EventStream, Wire
from famulus.call import Call
from famulus.config import Secret
from famulus.lists import ListQuery, list_page
from famulus.markers import hookimpl
from famulus.operations import Operation, operation, operations
from famulus.plugin import NoSettings, Plugin, Settings, need, want
from famulus.sse import encode_event
from famulus_schemas.errors import Problem

__version__ = "0.1.0"

__all__ = [
    "Bytes",
    "Call",
    "EventStream",
    "ListQuery",
    "NoSettings",
    "Operation",
    "Plugin",
    "Problem",
    "Secret",
    "Settings",
    "Wire",
    "encode_event",
    "hookimpl",
    "list_page",
    "need",
    "operation",
    "operations",
    "want",
]
