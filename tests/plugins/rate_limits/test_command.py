"""`famulus limits show` tells which limits count, from the configuration and the store alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import CliRunner, Result
from tests.plugins.usage.house import opened

from famulus.cli import command_line
from famulus.lifecycle import BootError
from famulus_schemas.rate_limits import AMOUNT_MAX

pytestmark = pytest.mark.anyio

TOML = """
[plugins.rate_limits]
requests_per_minute = 60
project_tokens_per_minute = 200000
model_requests_per_minute = 100

[plugins.rate_limits.keys.key_fixed]
requests_per_minute = 600
runs_at_once_max = 3

[plugins.rate_limits.models.llama]
tokens_per_minute = 10000
"""


async def told(folder: Path, *arguments: str, toml: str = TOML) -> Result:
    """What the command prints."""
    file = folder / "famulus.toml"
    file.write_text(toml)
    config = ["--config", str(file), "--data-dir", str(folder)]
    # In a thread: the command has a loop of its own.
    invoke = CliRunner(catch_exceptions=False).invoke
    return await anyio.to_thread.run_sync(
        invoke, command_line(), ["limits", "show", *config, *arguments]
    )


async def lines(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """The same, by a program."""
    result = await told(folder, "--json", *arguments)
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def brief(found: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [
        tuple(line[name] for name in ("of", "id", "what", "per", "limit", "set_by", "setting"))
        for line in found
    ]


CONFIGURED = "configuration"
OWN = "keys.key_fixed"
EACH_KEY = ("key", None, "requests", "minute", 60, CONFIGURED, "requests_per_minute")
PROJECT = (
    *("project", "default", "tokens", "minute", 200_000),
    *(CONFIGURED, "project_tokens_per_minute"),
)
LLAMA = (
    *("model", "llama", "tokens", "minute", 10_000),
    *(CONFIGURED, "models.llama.tokens_per_minute"),
)
EACH_MODEL = ("model", None, "requests", "minute", 100, CONFIGURED, "model_requests_per_minute")


async def test_the_table_has_a_line_for_each_limit_and_says_what_set_it(tmp_path: Path) -> None:
    result = await told(tmp_path)
    assert result.exit_code == 0, result.output
    file = tmp_path / "famulus.toml"
    assert [line.split("  ") for line in squeezed(result.stdout)] == [
        ["each other key", "requests a minute", "60", "-", "-", f"requests_per_minute ({file}:3)"],
        [
            *("project default", "tokens a minute", "200000", "-", "-"),
            f"project_tokens_per_minute ({file}:4)",
        ],
        [
            *("model llama", "tokens a minute", "10000", "-", "-"),
            f"models.llama.tokens_per_minute ({file}:11)",
        ],
        [
            *("each other model", "requests a minute", "100", "-", "-"),
            f"model_requests_per_minute ({file}:5)",
        ],
    ]
    assert result.stderr.split()[:3] == ["WHOSE", "WHAT", "LIMIT"]
    # In memory each server has limits of its own.
    assert "What is left is not known" in result.stderr


def squeezed(text: str) -> list[str]:
    """Lines with two spaces between their cells."""
    cells = [
        [cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()
    ]
    return ["  ".join(line) for line in cells]


async def test_one_key_and_one_model_are_told_of_alone(tmp_path: Path) -> None:
    assert brief(await lines(tmp_path)) == [EACH_KEY, PROJECT, LLAMA, EACH_MODEL]
    of_one = await lines(tmp_path, "--key", "key_fixed", "--model", "mistral")
    assert brief(of_one) == [
        ("key", "key_fixed", "requests", "minute", 600, CONFIGURED, f"{OWN}.requests_per_minute"),
        ("key", "key_fixed", "runs", "at_once", 3, CONFIGURED, f"{OWN}.runs_at_once_max"),
        PROJECT,
        ("model", "mistral", *EACH_MODEL[2:]),
    ]
    assert {line["left"] for line in of_one} == {line["reset_s"] for line in of_one} == {None}


async def test_what_an_administrator_has_set_counts_where_it_is_lower(tmp_path: Path) -> None:
    plugins = ("rate_limits", "memory_limits", "openai_compatible")
    async with opened(None, *plugins, data_dir=tmp_path) as house:
        project, key, _ = await house.key()
        limits = house.projects.rate_limits
        await limits.update_rate_limit(
            "rl-scripted",
            project_id=project,
            max_requests_per_1_minute=30,
            max_tokens_per_1_minute=AMOUNT_MAX,
            max_requests_per_1_day=500,
        )
    found = [line for line in await lines(tmp_path, "--project", project) if line["of"] == "model"]
    assert brief(found) == [
        LLAMA,
        ("model", "scripted", "requests", "minute", 30, "administrator", None),
        ("model", "scripted", "requests", "day", 500, "administrator", None),
        EACH_MODEL,
    ]
    assert "an administrator" in (await told(tmp_path, "--project", project)).stdout
    # What is configured is lower by now.
    lower = TOML.replace("model_requests_per_minute = 100", "model_requests_per_minute = 20")
    result = await told(tmp_path, "--project", project, "--model", "scripted", toml=lower)
    assert "20  " in result.stdout
    assert "model_requests_per_minute" in result.stdout
    # Another project has none of it. A key is told of by the name that it was asked for by.
    assert brief(await lines(tmp_path, "--model", "scripted"))[-1][4] == 100
    [of_key, *_] = await lines(tmp_path, "--project", project, "--key", key)
    assert (of_key["id"], of_key["limit"]) == (key, 60)


async def test_a_project_that_is_not_there_is_told_and_so_is_that_nothing_is_limited(
    tmp_path: Path,
) -> None:
    result = await told(tmp_path, "--project", "proj_none")
    assert result.exit_code == 1
    assert "proj_none" in result.stderr
    result = await told(tmp_path, toml="")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "Nothing is limited.\n"
    with pytest.raises(BootError, match="rate_limits is disabled"):
        await told(tmp_path, toml="[plugins.rate_limits]\nenabled = false\n")
