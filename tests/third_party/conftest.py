"""A stranger's package runs its own tests, from its own folder: see test_third_party.py."""

from __future__ import annotations

collect_ignore = ["famulus-example", "broken"]
