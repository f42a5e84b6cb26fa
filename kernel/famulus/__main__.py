"""`python -m famulus`, where the `famulus` command is not on the path."""

from __future__ import annotations

from famulus.cli import main

if __name__ == "__main__":
    main()
