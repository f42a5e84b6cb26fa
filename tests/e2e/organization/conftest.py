"""One organization for each module of tests, with what the module sets in its `SETTINGS`.

`SETTINGS` are variables of both processes, such as {"FAMULUS_RATE_LIMITS__REQUESTS_PER_MINUTE":
"30"}, and `OF_ONE` those of process one alone; what no variable can say goes into `CONFIG`, as
famulus.toml has it. What is known only once something else runs comes from fixtures of the same
names in lower case. At the end neither process may have told a secret, or have logged an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.e2e.organization.organization import Organization, open_organization
from tests.e2e.stores import own_schema


@pytest.fixture(scope="module")
def settings(request: pytest.FixtureRequest) -> Mapping[str, str]:
    return dict(getattr(request.module, "SETTINGS", {}))


@pytest.fixture(scope="module")
def of_one(request: pytest.FixtureRequest) -> Mapping[str, str]:
    return dict(getattr(request.module, "OF_ONE", {}))


@pytest.fixture(scope="module")
def config(request: pytest.FixtureRequest) -> str:
    return str(getattr(request.module, "CONFIG", ""))


@pytest.fixture(scope="module")
def backend(scripted_url: str) -> str:
    """The model server of both."""
    return scripted_url


@pytest.fixture(scope="module")
def certificate() -> Path | None:
    """That of both servers, where they speak TLS."""
    return None


@pytest.fixture(scope="module")
def organization(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_dsn: str,
    redis_url: str,
    settings: Mapping[str, str],
    of_one: Mapping[str, str],
    config: str,
    backend: str,
    certificate: Path | None,
) -> Iterator[Organization]:
    """Two servers on a database and a Redis of their own, two projects and three keys."""
    with own_schema(postgres_dsn) as store:
        variables = {
            **store,
            "FAMULUS_REDIS__URL": redis_url,
            "FAMULUS_REDIS__PREFIX": f"{store['FAMULUS_POSTGRES__SCHEMA']}:",
            "FAMULUS_REDIS__TIMEOUT_S": "30",
            **settings,
        }
        folder = tmp_path_factory.mktemp("organization")
        with open_organization(
            folder,
            variables,
            of_one=of_one,
            backend=backend,
            config=config,
            certificate=certificate,
        ) as made:
            yield made
            assert made.leaks() == []
        complaints = made.complaints()
        assert not complaints, json.dumps(complaints, indent=2).replace("\\n", "\n")
