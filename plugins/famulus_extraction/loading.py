"""Functions that other processes find: how they are named, and found by their names."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from famulus_extraction.messages import Named


def named(function: str) -> Named:
    """`package.module:function` with where it lies. Raises ValueError for another form."""
    module, colon, attribute = function.partition(":")
    if not (module and colon and attribute):
        raise ValueError(f"{function!r} names no function; write package.module:function")
    loaded = sys.modules.get(module)
    return Named(module=module, attribute=attribute, file=getattr(loaded, "__file__", None))


def load(name: Named) -> Callable[..., Any]:
    """The function. Raises ImportError, or whatever its module raises."""
    module = sys.modules.get(name.module) or _imported(name)
    try:
        function: Callable[..., Any] = getattr(module, name.attribute)
    except AttributeError:
        raise ImportError(f"there is no {name.attribute} in {name.module}") from None
    return function


def _imported(name: Named) -> ModuleType:
    try:
        return importlib.import_module(name.module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        is_it = name.module == missing or name.module.startswith(f"{missing}.")
        if name.file is None or not is_it:
            raise
    spec = importlib.util.spec_from_file_location(name.module, name.file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{name.file} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name.module] = module
    spec.loader.exec_module(module)
    return module
