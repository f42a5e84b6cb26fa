"""One organization for each module of tests, with what the module sets in its `SETTINGS`.

`SETTINGS` are variables of both processes, such as {"FAMULUS_RATE_LIMITS__REQUESTS_PER_MINUTE":
"30"}; what no variable can say goes into `CONFIG`, as famulus.toml has it. At the end neither
process may have told a secret, or have logged an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.e2e.organization.organization import Organization, open_organization
from tests.e2e.stores import own_schema


@pytest.fixture(scope="module")
def organization(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    postgres_dsn: str,
    redis_url: str,
    scripted_url: str,
) -> Iterator[Organization]:
    """Two servers on a database and a Redis of their own, two projects and three keys."""
    with own_schema(postgres_dsn) as store:
        variables = {
            **store,
            "FAMULUS_REDIS__URL": redis_url,
            "FAMULUS_REDIS__PREFIX": f"{store['FAMULUS_POSTGRES__SCHEMA']}:",
            "FAMULUS_REDIS__TIMEOUT_S": "30",
            **getattr(request.module, "SETTINGS", {}),
        }
        folder = tmp_path_factory.mktemp("organization")
        config = getattr(request.module, "CONFIG", "")
        with open_organization(folder, variables, backend=scripted_url, config=config) as made:
            yield made
            assert made.leaks() == []
        complaints = made.complaints()
        assert not complaints, json.dumps(complaints, indent=2).replace("\\n", "\n")
