"""What is installed with this server: known by hash, free to use, and running nothing by itself."""

from __future__ import annotations

import re
import site
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ("base.txt", "dev.txt")

NOT_RUNTIME = {"dev", "demo", "conformance"}
"""Extras that a server has no use for."""

PERMISSIVE = {
    *("0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "MIT", "MIT-0"),
    *("MIT-CMU", "PSF-2.0", "Zlib", "ISC", "Unlicense"),
}
WORDS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "MIT License": "MIT",
    "MIT license": "MIT",
    "Python Software Foundation License": "PSF-2.0",
}
"""Older names of licences, and what they are called now."""

EXCEPTIONS = {
    "certifi": "MPL-2.0: certificates alone, which we change nothing of",
    "hnswlib": "names none in its metadata; its sources are under Apache-2.0",
    "tqdm": "MPL-2.0 in part; comes with tokenizers, and we change nothing of it",
}
"""Packages whose licence is not permissive, or is not said, each with why it may stay."""

LOCKED = re.compile(r"[A-Za-z0-9._-]+==[^ ]+( ; [^-]+)?( +--hash=sha256:[0-9a-f]{64})+ *")

PTH = {
    "_famulus.pth": r"(/.*\n?)+",
    "__editable__.famulus.pth": r"(/.*\n?)+",
    "distutils-precedence.pth": r"import os; var = 'SETUPTOOLS_USE_DISTUTILS'; .*\n?",
}
"""The only files that Python runs or reads at every start, and what may stand in them."""


def runtime() -> list[str]:
    """Every package that a server may come to need, as far as it is installed here."""
    found: dict[str, None] = {}
    waiting: list[tuple[str, frozenset[str]]] = []
    extras = {str(each) for each in distribution("famulus").metadata.get_all("Provides-Extra", [])}
    waiting.append(("famulus", frozenset(extras - NOT_RUNTIME)))
    seen = set()
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        try:
            requirements = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        found[canonicalize_name(name)] = None
        for each in map(Requirement, requirements):
            markers = [{"extra": extra} for extra in (wanted or {""})]
            if each.marker is None or any(map(each.marker.evaluate, markers)):
                waiting.append((each.name, frozenset(each.extras)))
    return sorted(set(found) - {"famulus"})


def licences(name: str) -> list[str]:
    """What its metadata says, in the names of now; any one of several is enough."""
    metadata = distribution(name).metadata
    said = [metadata.get("License-Expression"), metadata.get("License")]
    said += [
        each.rpartition("::")[2].strip()
        for each in metadata.get_all("Classifier", [])
        if each.startswith("License ::")
    ]
    return [WORDS.get(each, each) for each in said if each]


def is_permissive(expression: str) -> bool:
    """Whether an SPDX expression leaves us free: each part that counts at once, or one of many."""
    return any(
        all(part.strip(" ()") in PERMISSIVE for part in choice.split(" AND "))
        for choice in expression.split(" OR ")
    )


def test_what_a_server_needs_is_found() -> None:
    assert {"starlette", "uvicorn", "msgspec", "asyncpg", "redis", "aiohttp"} <= set(runtime())
    assert len(runtime()) < 100


@pytest.mark.parametrize("name", [each for each in runtime() if each not in EXCEPTIONS])
def test_every_package_of_a_server_has_a_permissive_licence(name: str) -> None:
    found = licences(name)
    assert any(map(is_permissive, found)), f"{name}: {found}"


def test_no_exception_is_more_than_is_needed() -> None:
    needed = {name for name in runtime() if not any(map(is_permissive, licences(name)))}
    assert needed <= set(EXCEPTIONS)


@pytest.mark.parametrize(
    ("expression", "permissive"),
    [
        ("MIT", True),
        ("Apache-2.0 AND BSD-2-Clause", True),
        ("GPL-3.0-only", False),
        ("MIT AND GPL-3.0-only", False),
        ("MIT OR GPL-3.0-only", True),
        ("MPL-2.0 AND MIT", False),
        ("", False),
    ],
)
def test_a_licence_is_judged_by_all_that_counts(expression: str, permissive: bool) -> None:
    assert is_permissive(expression) is permissive


def test_nothing_new_runs_at_every_start_of_python() -> None:
    for folder in site.getsitepackages():
        for path in Path(folder).glob("*.pth"):
            assert path.name in PTH, f"{path} is new: see what it does, and whose it is"
            assert re.fullmatch(PTH[path.name], path.read_text()), f"{path} is not what it was"
        for name in ("sitecustomize.py", "usercustomize.py"):
            assert not Path(folder, name).exists()


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_one_version_and_its_hashes(name: str) -> None:
    text = (ROOT / "ops" / "requirements" / name).read_text().replace("\\\n", "")
    lines = [
        line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    assert len(lines) > 20
    for line in lines:
        assert re.match(
            r"[A-Za-z0-9._-]+==[^ ]+( ; [^-]+)?( +--hash=sha256:[0-9a-f]{64})+ *$", line
        ), line[:100]


def test_whatever_a_server_needs_is_locked() -> None:
    text = (ROOT / "ops" / "requirements" / "dev.txt").read_text()
    locked = {canonicalize_name(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", text, re.M)}
    assert set(runtime()) <= locked | {"setuptools"}


def test_the_gate_installs_by_hash_alone() -> None:
    gate = (ROOT / ".ci" / "run").read_text()
    assert "--require-hashes -r ops/requirements/dev.txt" in gate
