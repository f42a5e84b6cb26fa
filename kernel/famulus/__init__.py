"""Famulus: a home for code written against the OpenAI Assistants API.

These are the names that a plugin needs; everything else of the kernel is its own business.
"""

from famulus.answers import Bytes, EventStream, Wire
from famulus.call import Call
from famulus.forms import FilePart, Form
from famulus.lists import list_page
from famulus.markers import hookimpl
from famulus.operations import Operation, operation, operations
from famulus.plugin import CannotStart, NoSettings, Plugin, Settings, need, want
from famulus.resources import found, missing, modify
from famulus.secret import Secret
from famulus.setting_fields import setting
from famulus.sse import encode_event
from famulus.tools import tool, tools
from famulus_schemas.errors import Problem
from famulus_schemas.wire import FileField, ListQuery

__version__ = "0.1.0"

__all__ = [
    "Bytes",
    "Call",
    "CannotStart",
    "EventStream",
    "FileField",
    "FilePart",
    "Form",
    "ListQuery",
    "NoSettings",
    "Operation",
    "Plugin",
    "Problem",
    "Secret",
    "Settings",
    "Wire",
    "encode_event",
    "found",
    "hookimpl",
    "list_page",
    "missing",
    "modify",
    "need",
    "operation",
    "operations",
    "setting",
    "tool",
    "tools",
    "want",
]
