"""An organization as those have it who run and use it: two servers, two projects, three keys."""

from __future__ import annotations

import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from openai import DefaultHttpxClient, OpenAI
from prometheus_client.parser import text_string_to_metric_families
from tests.e2e.serving import FAMULUS, Served, environment_of, serve

ADMIN_KEY = "the-canary-of-whoever-runs-both"
PEPPER = "canary-pepper-of-both-of-them"
PLANTED = "canary"
"""What is written into what people say here, and must be in no log and in no metric."""

CACHE_S = 1.0
"""For which a process may take a key for valid without asking, and no longer."""
TRIES = 600
PAUSE_S = 0.05


@dataclass(frozen=True)
class Key:
    """A key of a service account."""

    id: str
    value: str
    project: str
    account: str


class Command:
    """The command line of whoever runs both, on the same configuration."""

    def __init__(self, config: Path, variables: Mapping[str, str]) -> None:
        self._config = config
        self.variables = dict(variables)
        self._environment = environment_of(variables)

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """How `famulus ...` ended, and what it printed."""
        return subprocess.run(
            [*FAMULUS, *arguments, "--config", str(self._config)],
            cwd=self._config.parent,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )


class Organization:
    """Two processes, `one` and `two`, on one database and one Redis, and who uses them.

    `support` and `billing` are projects. `writer` and `reader` are keys of support, of which the
    reader may only read threads and assistants; `biller` is the key of billing.
    """

    def __init__(self, one: Served, two: Served, http: httpx.Client, command: Command) -> None:
        self.one = one
        self.two = two
        self.processes = (one, two)
        self._http = http
        self.command = command
        self.secrets = [ADMIN_KEY, PEPPER]
        """What nobody may be told, but who was given it."""
        self.support = self.project("Support")
        self.billing = self.project("Billing")
        self.writer = self.key(self.support, "writer")
        self.reader = self.key(
            self.support, "reader", scopes=["api.threads.read", "api.assistants.read"]
        )
        self.biller = self.key(self.billing, "biller")

    # --- people -------------------------------------------------------------------------------

    def client(self, key: Key | str, at: Served | None = None) -> OpenAI:
        """The official client of whoever has this key; at process one, if not said otherwise."""
        value = key.value if isinstance(key, Key) else key
        return OpenAI(
            base_url=(at or self.one).base_url,
            api_key=value,
            max_retries=0,
            http_client=self._http,
        )

    def admin(self, at: Served | None = None) -> Any:
        """`client.admin.organization` of the operator; at process one, if not said otherwise."""
        return OpenAI(
            base_url=(at or self.one).base_url,
            api_key="none",
            admin_api_key=ADMIN_KEY,
            max_retries=0,
            http_client=self._http,
        ).admin.organization

    def ask(
        self, method: str, path: str, key: Key | str | None, at: Served | None = None, **more: Any
    ) -> httpx.Response:
        """What is answered to a plain request, for what the official client does not show."""
        value = key.value if isinstance(key, Key) else key
        headers = {} if value is None else {"authorization": f"Bearer {value}"}
        headers |= more.pop("headers", {})
        url = f"{(at or self.one).url}{path}"
        return self._http.request(method, url, headers=headers, **more)

    # --- what is made -------------------------------------------------------------------------

    def project(self, name: str) -> str:
        """A new project's id."""
        return str(self.admin().projects.create(name=name).id)

    def key(
        self, project: str, name: str, *, scopes: Sequence[str] = (), at: Served | None = None
    ) -> Key:
        """The key of a new service account."""
        admin = self.admin(at).projects
        account = admin.service_accounts.create(project_id=project, name=name)
        made = account.api_key
        self.secrets.append(made.value)
        if scopes:
            admin.api_keys.update(made.id, project_id=project, scopes=list(scopes))
        return Key(made.id, made.value, project, account.id)

    # --- what is told -------------------------------------------------------------------------

    def figure(self, at: Served, name: str, **labels: str) -> float:
        """The sum of a process's figures of this name with these labels; 0 where there is none."""
        told = self.ask("GET", "/metrics", ADMIN_KEY, at)
        assert told.status_code == 200, told.text
        return sum(
            sample.value
            for family in text_string_to_metric_families(told.text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def lines(self, at: Served, event: str = "request_served", **fields: Any) -> list[Any]:
        """The lines of a process's log of this event with these fields."""
        return [
            line
            for line in at.events()
            if line["event"] == event and fields.items() <= line.items()
        ]

    def told(self) -> dict[str, str]:
        """All that both processes tell whoever runs them, by where they do."""
        found = {}
        for name, served in (("one", self.one), ("two", self.two)):
            found[f"log of {name}"] = served.log.read_text(errors="replace")
            for path in ("/metrics", "/-/plugins", "/health/ready"):
                found[f"{path} of {name}"] = self.ask("GET", path, ADMIN_KEY, served).text
        return found

    def leaks(self) -> list[str]:
        """What was told of any secret, or of anything that was planted; nothing, it is hoped."""
        words = [PLANTED, *self.secrets]
        return [
            f"{where}: {line}"
            for where, text in self.told().items()
            for line in text.splitlines()
            if any(word in line for word in words)
        ]

    def folder(self) -> Path:
        """Where both keep what is in files, each in one of its own, and the blobs of both."""
        return self.one.log.parents[1]

    def complaints(self) -> list[Any]:
        """What both processes have logged as an error."""
        events = [event for served in self.processes for event in served.events()]
        return [event for event in events if event["level"] in ("error", "critical")]


def eventually(holds: Callable[[], Any]) -> Any:
    """What this answers once it answers something true, for what is told a moment later."""
    found: Any = None
    for _ in range(TRIES):
        if found := holds():
            return found
        time.sleep(PAUSE_S)
    raise AssertionError(f"it never came to be; the last answer was {found!r}")


@contextmanager
def open_organization(
    folder: Path,
    variables: Mapping[str, str],
    *,
    backend: str,
    of_one: Mapping[str, str],
    config: str = "",
    certificate: Path | None = None,
) -> Iterator[Organization]:
    """Both processes, ready, and ended when left. `backend` is the model server of both.

    `of_one` are variables of the first alone; `certificate` is what clients trust.
    """
    file = folder / "famulus.toml"
    file.write_text(config)
    of_both = {
        "FAMULUS_ADMIN_KEY": ADMIN_KEY,
        "FAMULUS_KEYS__PEPPER": PEPPER,
        "FAMULUS_LOCAL_BLOBS__FOLDER": str(folder / "blobs"),
        "FAMULUS_OPENAI_COMPATIBLE__DISCOVER": "false",
        "FAMULUS_BUBBLEWRAP__ENABLED": "false",
        **variables,
    }
    arguments = ["--config", str(file), "--backend", backend]
    with ExitStack() as opened:
        one, two = (
            opened.enter_context(serve(folder / name, arguments=arguments, environment=variables))
            for name, variables in (("one", {**of_both, **of_one}), ("two", of_both))
        )
        # One for all: to make one takes longer than to ask many times.
        trust = ssl.create_default_context(cafile=certificate)
        http = opened.enter_context(DefaultHttpxClient(timeout=60, verify=trust))
        yield Organization(one, two, http, Command(file, of_both))
