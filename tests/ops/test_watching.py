"""The alerts, the dashboard and the configuration for Prometheus: of metrics that there are.

What Debian's package `prometheus` has is used where it is there; `.ci/run` installs it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from famulus.config import load_config
from famulus.kernel import Kernel
from famulus.listening import listening
from famulus.testing import live_server
from famulus.testing.kit import quiet_log

pytestmark = pytest.mark.anyio

OPS = Path(__file__).parents[2] / "ops"
RULES = OPS / "prometheus" / "alerts.yml"
RULE_TESTS = OPS / "prometheus" / "alerts_test.yml"
CONFIGURATION = OPS / "prometheus" / "prometheus.yml"
DASHBOARD = OPS / "grafana" / "famulus.json"

SCRAPES = {"job", "instance", "le"}
"""Labels that Prometheus adds, or that histograms have."""
SCRAPED_S = 60.0
KEY = "sk-watches-it"


@pytest.fixture(scope="module")
def metrics() -> dict[str, set[str]]:
    """Every sample that there can be, and its labels, as README lists them."""
    spec = importlib.util.spec_from_file_location("ops_docs_for_metrics", OPS / "docs.py")
    assert spec is not None
    assert spec.loader is not None
    docs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(docs)
    found: dict[str, set[str]] = {}
    for each in docs.metrics():
        ends = ("_bucket", "_sum", "_count") if each.type == "histogram" else ("",)
        found |= {each.name + end: {*each.labels} for end in ends}
    return found


def expressions() -> dict[str, str]:
    """Every expression of the dashboard, by its panel and letter."""
    dashboard = json.loads(DASHBOARD.read_text())
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    }


def rules() -> dict[str, str]:
    """Every alert's expression. The file is read by its form, which `promtool` checks."""
    found = {}
    for part in RULES.read_text().split("- alert: ")[1:]:
        name, _, rest = part.partition("\n")
        expression = re.search(r"expr: (?:\|\n)?(.*?)\n        (?:for|labels):", rest, re.DOTALL)
        assert expression is not None, name
        found[name] = expression[1]
    return found


def selected(expression: str) -> Iterator[tuple[str, set[str]]]:
    """The metrics that an expression names, each with the labels that it asks for."""
    pattern = r"\b((?:famulus|process)_[a-z_]+)(?:\{([^}]*)\})?"
    for name, matchers in re.findall(pattern, expression):
        yield name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))


def grouped(expression: str) -> set[str]:
    """The labels that an expression keeps."""
    found = re.findall(r"\bby \(([^)]*)\)", expression)
    return {label.strip() for each in found for label in each.split(",") if label.strip()}


ALL = {**rules(), **expressions()}


@pytest.mark.parametrize("name", ALL)
def test_every_metric_that_is_asked_for_is_there_with_its_labels(
    name: str, metrics: dict[str, set[str]]
) -> None:
    named = list(selected(ALL[name]))
    assert named or "up{" in ALL[name]
    for metric, labels in named:
        assert metric in metrics, f"there is no {metric}"
        assert labels <= metrics[metric] | SCRAPES, metric
    if named:
        assert grouped(ALL[name]) <= set().union(*(metrics[each] for each, _ in named)) | SCRAPES


def test_every_metric_of_ours_is_watched_by_somebody(metrics: dict[str, set[str]]) -> None:
    asked = {name for expression in ALL.values() for name, _ in selected(expression)}
    families = {re.sub(r"_(bucket|sum|count)$", "", each) for each in asked}
    ours = {re.sub(r"_(bucket|sum|count)$", "", each) for each in metrics if "famulus" in each}
    # What is told only so that somebody may look it up.
    assert ours - families <= {"famulus_gauge_faults_total"}


def test_every_alert_says_what_to_do_and_has_a_test() -> None:
    tested = set(re.findall(r"alertname: (\w+)", RULE_TESTS.read_text()))
    assert set(rules()) == tested
    for part in RULES.read_text().split("- alert: ")[1:]:
        assert re.search(r"severity: (page|ticket)\n", part)
        assert re.search(r"summary: .+\n +description: .+", part)


def test_the_panels_of_the_dashboard_lie_side_by_side() -> None:
    taken: set[tuple[int, int]] = set()
    ids = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        ids.add(panel["id"])
    assert len(ids) == len(json.loads(DASHBOARD.read_text())["panels"])


# --- with the real programs ----------------------------------------------------------------------


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"NO {name.upper()}: install Debian's package prometheus")
    return found


def promtool(*arguments: str) -> str:
    done = subprocess.run(
        [program("promtool"), *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_takes_the_rules_and_the_configuration() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "rules", str(RULES))
    assert "SUCCESS" in promtool("check", "config", "--syntax-only", str(CONFIGURATION))


def test_the_alerts_go_off_when_they_should_and_only_then() -> None:
    assert "SUCCESS" in promtool("test", "rules", str(RULE_TESTS))


def test_promtool_takes_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    variables = {"$__rate_interval": "5m", "$instance": ".+"}
    lines = ["groups:", "- name: dashboard", "  rules:"]
    for number, expression in enumerate(expressions().values()):
        for variable, value in variables.items():
            expression = expression.replace(variable, value)
        lines += [f"  - record: panel_{number}", f"    expr: {json.dumps(expression)}"]
    (tmp_path / "rules.yml").write_text("\n".join(lines))
    assert f"{len(expressions())} rules" in promtool("check", "rules", str(tmp_path / "rules.yml"))


@asynccontextmanager
async def everything(tmp_path: Path) -> AsyncIterator[str]:
    """A server of all our plugins on a real socket."""
    tables: dict[str, Any] = {
        "server": {"data_dir": str(tmp_path / "data"), "drain_s": 2.0},
        "openai_compatible": {"discover": False},
        "keys": {"api_key": KEY},
    }
    config = load_config(None, environment={}, flags=tables)
    async with live_server(Kernel(config, log=quiet_log())) as url:
        yield url


async def test_what_a_server_tells_is_what_the_readme_lists(
    tmp_path: Path, metrics: dict[str, set[str]]
) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    async with everything(tmp_path) as url, httpx.AsyncClient(headers=headers) as client:
        body = {"model": "famulus-builtin", "messages": [{"role": "user", "content": "Hi"}]}
        await client.post(f"{url}/v1/chat/completions", json=body)
        text = (await client.get(f"{url}/metrics")).text
    samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
    assert len(samples) > 100
    for sample in samples:
        assert set(sample.labels) - {"le"} <= metrics[sample.name], sample.name
    told = {sample.name for sample in samples}
    assert {"famulus_requests_in_flight", "famulus_backend_up", "process_open_fds"} <= told


@asynccontextmanager
async def prometheus(tmp_path: Path, target: str) -> AsyncIterator[str]:
    """A Prometheus that scrapes one server by our own configuration, only more often; its URL."""
    (tmp_path / "famulus.key").write_text(KEY)
    shutil.copy(RULES, tmp_path / "alerts.yml")
    text = CONFIGURATION.read_text().replace("15s", "1s")
    assert text.count("127.0.0.1:8400") == 1
    (tmp_path / "prometheus.yml").write_text(text.replace("127.0.0.1:8400", target))
    [held] = listening("127.0.0.1", 0, backlog=1)
    port = held.getsockname()[1]
    held.close()
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program("prometheus"),
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def test_a_real_prometheus_scrapes_a_server_and_answers_what_it_read(tmp_path: Path) -> None:
    program("prometheus")
    async with (
        everything(tmp_path) as url,
        prometheus(tmp_path, url.removeprefix("http://")) as watcher,
        httpx.AsyncClient(timeout=10) as client,
    ):
        query = {"query": 'famulus_plugin_state{job="famulus",plugin="runs"}'}
        async with asyncio.timeout(SCRAPED_S):
            while True:
                try:
                    answer = await client.get(f"{watcher}/api/v1/query", params=query)
                    result = answer.json()["data"]["result"]
                except (httpx.TransportError, ValueError, KeyError):
                    # It is not up yet.
                    result = []
                if result:
                    break
                await asyncio.sleep(0.1)
        [series] = result
        assert series["metric"]["state"] == "running"
        assert series["value"][1] == "1"
        loaded = (await client.get(f"{watcher}/api/v1/rules")).json()["data"]["groups"]
        assert {each["name"] for group in loaded for each in group["rules"]} == set(rules())
