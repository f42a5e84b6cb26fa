"""How many files, and so connections, this process may have open at once."""

from __future__ import annotations

import resource


def allow_open_files(wanted: int) -> int:
    """Have the system allow so many, as far as it lets itself be asked; how many it allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    asked = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (asked, hard))
    except (OSError, ValueError):
        return soft
    return asked
