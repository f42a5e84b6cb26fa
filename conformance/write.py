"""Writes what stands in this folder about the product, from the product.

    FAMULUS_OPENAI_SPEC=/path/to/openapi.json python conformance/write.py

Tests fail where it is not up to date.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from famulus_conformance.difference import Difference
from famulus_conformance.oracles import VARIABLE
from famulus_conformance.report import NAMES
from famulus_conformance.spec_oracle import spec_document

HERE = Path(__file__).parent
DIFFERENCE = HERE / "openapi-diff.txt"
ALONE = HERE / "famulus.toml"
COMMAND = f"{VARIABLE}=/path/to/openapi.json python conformance/write.py"


def document_path() -> Path:
    """The copy of OpenAI's document that the environment names."""
    return Path(os.environ[VARIABLE])


def difference() -> Difference:
    """Our document beside OpenAI's."""
    printed = _famulus("openapi", "--config", str(ALONE))
    assert printed.returncode == 0, printed.stderr
    return Difference(spec_document(document_path()), json.loads(printed.stdout))


def difference_text(found: Difference) -> str:
    """What `openapi-diff.txt` should be."""
    version = spec_document(document_path())["info"]["version"]
    return found.text(
        f"# What `famulus openapi` says otherwise than OpenAI's OpenAPI document, {version}.\n"
        f"# Written by: {COMMAND}\n#\n"
        "# A line is `place: what: theirs -> ours`, or says what ours adds (+) and lacks (-)."
    )


def write_report(folder: Path) -> subprocess.CompletedProcess[str]:
    """Judge a server of its own, and write the report into a folder."""
    layers = ("--layer", "probes", "--layer", "streams")
    return _famulus("conformance", "--config", str(ALONE), *layers, "--report", str(folder))


def _famulus(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "famulus", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def main() -> None:
    """Write all of it."""
    DIFFERENCE.write_text(difference_text(difference()), encoding="utf-8")
    done = write_report(HERE)
    sys.stderr.write(done.stderr if done.returncode else "")
    sys.stdout.write(done.stdout)
    print("written:", DIFFERENCE.name, *NAMES)


if __name__ == "__main__":
    main()
