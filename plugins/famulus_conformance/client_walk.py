"""Reads off the official client's sources which request each of its methods makes."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import typing
from collections.abc import Iterator
from typing import Any, NamedTuple

VERBS = {"_get": "GET", "_post": "POST", "_delete": "DELETE", "_get_api_list": "GET"}


class Params(NamedTuple):
    """The client's type of what a request takes, and which of its fields go there."""

    kind: Any
    names: frozenset[str]
    """All fields where it is empty."""

    def has(self, name: str) -> bool:
        """Whether a field goes there."""
        return not self.names or name in self.names


class ClientCall(NamedTuple):
    """One request, with the client's own types for what goes in and comes out."""

    method: str
    path: str
    body: Params | None
    query: Params | None
    answer: Any
    """None where it is no JSON."""
    page: str
    """The name of the kind of page that the answers come in; empty for a single answer."""
    streams: bool


def client_calls() -> Iterator[ClientCall]:
    """Every request of the synchronous client, in the order of its sources."""
    import openai.resources as resources

    for module in pkgutil.walk_packages(resources.__path__, f"{resources.__name__}."):
        if not module.ispkg:
            yield from _calls_of(module.name)


def _calls_of(name: str) -> Iterator[ClientCall]:
    module = importlib.import_module(name)
    with open(str(module.__file__), encoding="utf-8") as source:
        tree = ast.parse(source.read())
    for each in tree.body:
        if isinstance(each, ast.ClassDef) and not each.name.startswith("Async"):
            for node in ast.walk(each):
                if isinstance(node, ast.Call) and (call := _call(node, vars(module))):
                    yield call


def _call(node: ast.Call, names: dict[str, Any]) -> ClientCall | None:
    function = node.func
    if not (isinstance(function, ast.Attribute) and function.attr in VERBS and node.args):
        return None
    path = _path(node.args[0])
    given = {each.arg: each.value for each in node.keywords}
    options = given.get("options")
    if path is None or not isinstance(options, ast.Call):
        return None
    query = {each.arg: each.value for each in options.keywords}.get("query")
    pages = function.attr == "_get_api_list"
    said = given.get("method")
    method = str(said.value).upper() if isinstance(said, ast.Constant) else VERBS[function.attr]
    answer = given.get("model" if pages else "cast_to")
    return ClientCall(
        method=method,
        path=path,
        body=_params(given.get("body"), names),
        query=_params(query, names),
        answer=_answer(answer, names),
        page=_page(given["page"]) if pages else "",
        streams="stream_cls" in given and isinstance(given.get("stream"), ast.BoolOp),
    )


def _path(node: ast.expr) -> str | None:
    if isinstance(node, ast.Call) and node.args:
        return _path(node.args[0])
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _params(node: ast.expr | None, names: dict[str, Any]) -> Params | None:
    """What is sent; of the two types that `stream` chooses from, that without streams."""
    if not (isinstance(node, ast.Call) and len(node.args) == 2):
        return None
    sent, kind = node.args
    found = _evaluated(kind.orelse if isinstance(kind, ast.IfExp) else kind, names)
    kinds = typing.get_args(found) or (found,)
    keys = sent.keys if isinstance(sent, ast.Dict) else ()
    sent_names = frozenset(str(key.value) for key in keys if isinstance(key, ast.Constant))
    return Params(kinds[0], sent_names)


def _answer(node: ast.expr | None, names: dict[str, Any]) -> Any:
    if isinstance(node, ast.Call):
        # `cast(Any, Union)`, where the type is a union.
        node = node.args[-1]
    found = _evaluated(node, names) if node is not None else None
    is_json = found not in (str, type(None)) and "Binary" not in getattr(found, "__name__", "")
    return found if is_json else None


def _evaluated(node: ast.expr, names: dict[str, Any]) -> Any:
    code = compile(ast.Expression(node), "<the client>", "eval")
    try:
        return eval(code, names)  # noqa: S307 - an expression of the installed client's own
    except NameError:
        # A parser made inside a method, for an answer that another method declares.
        return None


def _page(node: ast.expr) -> str:
    return ast.unparse(node.value if isinstance(node, ast.Subscript) else node)
