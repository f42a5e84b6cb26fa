"""The two pluggy markers; a hook implementation of any plugin carries `@hookimpl`."""

from __future__ import annotations

import pluggy

PROJECT_NAME = "famulus"

hookspec = pluggy.HookspecMarker(PROJECT_NAME)
hookimpl = pluggy.HookimplMarker(PROJECT_NAME)
