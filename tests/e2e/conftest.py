"""The places where the road is walked: every store with every kind of model.

Three variables say what there is besides SQLite and the models that need nothing:
FAMULUS_TEST_POSTGRES is the dsn of a PostgreSQL server for tests. FAMULUS_VLLM_URL is the base URL
of a running vLLM that serves the trained model of `ops/vllm`; or FAMULUS_TINY_MODEL is that
model's folder, and FAMULUS_VLLM_PYTHON the interpreter of an environment with vLLM to start it in.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import redis
from openai import OpenAI
from tests.e2e.models import BUILTIN, BUILTIN_TOKENS_PER_S, SCRIPTED, TINY
from tests.e2e.places import Place, Vllm
from tests.e2e.scripted_model import scripted_server
from tests.e2e.serving import serve
from tests.e2e.stores import execute, own_schema

from famulus_conformance.scenarios_model import Model

LOCAL_POSTGRES = "postgresql://postgres@127.0.0.1:5432/test"
LOCAL_REDIS = "redis://127.0.0.1:6379/0"
VLLM = Path(__file__).parents[2] / "ops" / "vllm" / "serve.py"
VLLM_PORT = 8109

PLACES = [
    pytest.param((store, model), id=f"{store}-{model}", marks=marks)
    for model, marks in (("builtin", ()), ("scripted", ()), ("vllm", pytest.mark.vllm))
    for store in ("sqlite", "postgres")
]


@pytest.fixture(scope="session", params=PLACES)
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """A server for each store and model. At the end it must have nothing to complain of."""
    store, kind = request.param
    folder = tmp_path_factory.mktemp(f"{store}-{kind}")
    with _store(store, request) as environment, _backend(kind, request) as (url, model):
        arguments = ["--backend", url] if url else []
        environment = {
            **environment,
            "FAMULUS_OPENAI_COMPATIBLE__DISCOVER": "false",
            "FAMULUS_BUILTIN__TOKENS_PER_S": str(BUILTIN_TOKENS_PER_S),
        }
        with serve(folder, arguments=arguments, environment=environment) as served:
            yield Place(served=served, store=store, model=model)
            complaints = [e for e in served.events() if e["level"] in ("error", "critical")]
    assert not complaints, json.dumps(complaints, indent=2).replace("\\n", "\n")


@pytest.fixture
def model(place: Place) -> Model:
    return place.model


@pytest.fixture
def client(place: Place) -> Iterator[OpenAI]:
    with place.served.client() as client:
        yield client


@pytest.fixture(scope="session")
def scripted_url() -> Iterator[str]:
    """The base URL of a scripted model server."""
    with scripted_server() as url:
        yield url


# --- stores -----------------------------------------------------------------------------------


@contextmanager
def _store(store: str, request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The variables that name the store."""
    if store == "sqlite":
        yield {}
        return
    dsn = request.getfixturevalue("postgres_dsn")
    with own_schema(dsn) as variables:
        yield variables


@pytest.fixture
def store_variables(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The variables that name the store which the test asks for, with nothing in it."""
    with _store(request.param, request) as variables:
        yield variables


@pytest.fixture(scope="session")
def postgres_dsn() -> str:
    if named := os.environ.get("FAMULUS_TEST_POSTGRES"):
        return named
    try:
        anyio.run(execute, LOCAL_POSTGRES, "select 1")
    except OSError:
        pytest.skip("NO POSTGRESQL: set FAMULUS_TEST_POSTGRES to the dsn of a server for tests")
    return LOCAL_POSTGRES


@pytest.fixture(scope="session")
def redis_url() -> str:
    url = os.environ.get("FAMULUS_TEST_REDIS") or LOCAL_REDIS
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=5) as client:
            client.ping()
    except redis.ConnectionError:
        if "FAMULUS_TEST_REDIS" in os.environ:
            raise
        pytest.skip("NO REDIS: set FAMULUS_TEST_REDIS to the URL of a server for tests")
    return url


# --- models -----------------------------------------------------------------------------------


@contextmanager
def _backend(kind: str, request: pytest.FixtureRequest) -> Iterator[tuple[str | None, Model]]:
    """The base URL of the model server, if there is one, and its model."""
    if kind == "builtin":
        yield None, BUILTIN
    elif kind == "scripted":
        yield request.getfixturevalue("scripted_url"), SCRIPTED
    else:
        url = request.getfixturevalue("vllm_url")
        listed = httpx.get(f"{url}/models", timeout=60).json()["data"]
        yield url, replace(TINY, id=listed[0]["id"])


@pytest.fixture(scope="session")
def vllm_url() -> Iterator[str]:
    """The base URL of a vLLM with the trained model."""
    if url := os.environ.get("FAMULUS_VLLM_URL"):
        yield url
        return
    with _started_vllm() as vllm:
        yield vllm.url


@pytest.fixture(scope="session")
def vllm_embedder_url() -> Iterator[str]:
    """The base URL of a vLLM that embeds."""
    if url := os.environ.get("FAMULUS_VLLM_EMBED_URL"):
        yield url
        return
    with _started_vllm("--embed", "--port", str(VLLM_PORT + 1)) as vllm:
        yield vllm.url


@pytest.fixture
def mortal_vllm() -> Iterator[Vllm]:
    """A vLLM of this test's own, which it may kill."""
    with _started_vllm("--port", str(VLLM_PORT + 2)) as vllm:
        yield vllm


def _started_vllm(*arguments: str) -> AbstractContextManager[Vllm]:
    model, python = os.environ.get("FAMULUS_TINY_MODEL"), os.environ.get("FAMULUS_VLLM_PYTHON")
    if not (model and python):
        pytest.skip(
            "NO VLLM: set FAMULUS_VLLM_URL, or FAMULUS_TINY_MODEL and FAMULUS_VLLM_PYTHON; "
            "see ops/vllm/README.md"
        )
    return _vllm([python, str(VLLM), model, "--port", str(VLLM_PORT), "--name", "tiny", *arguments])


@contextmanager
def _vllm(command: list[str]) -> Iterator[Vllm]:
    process: subprocess.Popen[Any] = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith("ready "):
                yield Vllm(url=line.split()[1], process=process)
                return
        raise RuntimeError(f"vLLM ended with {process.wait()}")
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
