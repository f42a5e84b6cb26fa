"""A misspelt variable is an error that names it; what is somebody else's is only told."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from famulus.config import load_config
from famulus.kernel import Kernel
from famulus.log import make_log
from famulus.mistakes import ConfigError

pytestmark = pytest.mark.anyio


def planned(file: Path | None = None, /, **environment: str) -> Kernel:
    kernel = Kernel(load_config(file, environment=environment))
    kernel.plan()
    return kernel


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("FAMULUS_HSOT", "FAMULUS_HOST"),
        ("FAMULUS_APIKEY", "FAMULUS_API_KEY"),
        ("FAMULUS_BACKENDS", "FAMULUS_BACKEND"),
        ("FAMULUS_POSTGRES_DSN", "FAMULUS_POSTGRES__DSN"),
        ("FAMULUS_DEFAULT_MODEL", "FAMULUS_MODELS__DEFAULT_MODEL"),
    ],
)
def test_a_name_that_is_nearly_a_setting_s_is_an_error_that_says_what_was_meant(
    name: str, meant: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        planned(**{name: "x"})
    assert str(refused.value) == f"{name}: there is no such variable; did you mean {meant}?"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("FAMULUS_MODLES__DEFAULT_MODEL", "x", "there is no plugin 'modles'; there are "),
        ("FAMULUS_PORTS__RECORDS", "oracle", "there is no plugin 'oracle'; there are "),
        ("FAMULUS_PORTS__RECRODS", "sqlite", "[ports]: nobody provides 'recrods'; there are "),
        ("FAMULUS_VLLM__ENABLED", "flase", "[plugins.vllm] enabled must be true or false"),
        ("FAMULUS_SERVER__HSOT", "x", "[server] has no setting 'hsot'; it has host"),
    ],
)
def test_a_setting_that_is_not_there_is_an_error_that_names_its_variable(
    name: str, value: str, says: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        planned(**{name: value})
    assert str(refused.value).startswith(f"{name}: {says}")


def test_a_table_of_the_file_is_said_to_be_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "famulus.toml"
    file.write_text("[plugins.modles]\ndefault_model = 'x'\n")
    with pytest.raises(ConfigError) as refused:
        planned(file, FAMULUS_MODELS__DEFAULT_MODEL="x")
    assert str(refused.value).startswith(f"{file}:1: there is no plugin 'modles'; there are ")
    assert str(refused.value).endswith("; did you mean 'models'?")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FAMULUS_PORT", "tcp://10.0.0.1:8400"),
        ("FAMULUS_PORT_8400_TCP_ADDR", "10.0.0.1"),
        ("FAMULUS_SERVICE_PORT_HTTP", "8400"),
        ("FAMULUS_HOSTS_PORT", "tcp://10.0.0.1:8400"),
        ("FAMULUS_CONFIG", "famulus.toml"),
        ("FAMULUS_FAILPOINT", "somewhere:1"),
        ("FAMULUS_HOST", "0.0.0.0"),
        ("famulus_hsot", "x"),
    ],
)
def test_what_an_orchestrator_sets_and_what_is_ours_is_no_mistake(name: str, value: str) -> None:
    assert planned(**{name: value})._strange == []


def test_a_variable_that_the_configuration_names_is_no_mistake(tmp_path: Path) -> None:
    file = tmp_path / "famulus.toml"
    file.write_text("[plugins.keys]\napi_key = 'env:FAMULUS_MY_API_KEY'\n")
    assert planned(file, FAMULUS_MY_API_KEY="sk-one")._strange == []
    with pytest.raises(ConfigError, match="did you mean FAMULUS_API_KEY"):
        planned(FAMULUS_MY_API_KEY="sk-one")


async def test_a_variable_that_is_like_none_of_ours_is_told_at_the_start(tmp_path: Path) -> None:
    out = io.StringIO()
    tables = {f"FAMULUS_{name}__ENABLED": "false" for name in ("KEYS", "RUNS", "MODELS")}
    environment = {**tables, "FAMULUS_DATA_DIR": str(tmp_path), "FAMULUS_ZODIAC": "libra"}
    log = make_log("info", "json", stream=out)
    kernel = Kernel(load_config(None, environment=environment), log=log)
    await kernel.start()
    await kernel.stop()
    told = [json.loads(line) for line in out.getvalue().splitlines()]
    [unknown] = [each for each in told if each["event"] == "variables_unknown"]
    assert unknown["variables"] == ["FAMULUS_ZODIAC"]
    assert "libra" not in out.getvalue()
