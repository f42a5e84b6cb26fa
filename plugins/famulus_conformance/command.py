"""The command: an oracle, a server, and the report of how the two agree."""

from __future__ import annotations

import importlib.util
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

MISSING = 'this needs what the server does not: pip install "famulus[conformance]"'
NEEDED = ("jsonschema_rs", "openai")
INTERRUPTED = 130
"""What a shell expects of a program that Ctrl-C ended."""
FAULTS_SHOWN_MAX = 50


def conformance() -> click.Command:
    """The command."""
    from famulus_conformance.layers import NAMES
    from famulus_conformance.scope import groups

    @click.command("conformance", context_settings={"ignore_unknown_options": True})
    @click.option("--base-url", help="The server, such as http://127.0.0.1:8400/v1.")
    @click.option("--api-key", envvar="OPENAI_API_KEY", help="A key of that server's.")
    @click.option(
        "--openai-spec",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        envvar="FAMULUS_OPENAI_SPEC",
        help="A copy of OpenAI's openapi.json; the official client's types where not given.",
    )
    @click.option("--model", help="The model to ask; the first that is listed if not given.")
    @click.option(
        "--only", multiple=True, type=click.Choice(groups()), help="Just this group; repeatable."
    )
    @click.option(
        "--profile", type=click.Choice(["quick", "full"]), default="quick", show_default=True
    )
    @click.option(
        "--layer", multiple=True, type=click.Choice(NAMES), help="Just this layer; repeatable."
    )
    @click.option(
        "--report",
        type=click.Path(file_okay=False, path_type=Path),
        help="A folder to write REPORT.md and REPORT.json into.",
    )
    @click.option(
        "--start-s", default=60.0, show_default=True, help="Seconds the server may take to start."
    )
    @click.argument("flags", nargs=-1, type=click.UNPROCESSED)
    def conformance(
        base_url: str | None,
        api_key: str | None,
        openai_spec: Path | None,
        model: str | None,
        only: tuple[str, ...],
        profile: str,
        layer: tuple[str, ...],
        report: Path | None,
        start_s: float,
        flags: tuple[str, ...],
    ) -> None:
        """Say how far a server is OpenAI's API, operation by operation.

        Without --base-url it judges a server of its own, which all further flags go to. It exits
        with 1 where something that is served deviates and the overlay gives no reason.
        """
        if any(importlib.util.find_spec(name) is None for name in NEEDED):
            raise click.ClickException(MISSING)
        # Told to end in any way, it ends its server too.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            with _server(base_url, api_key, flags, start_s) as (url, key):
                judging = _Judging(openai_spec, only, profile, layer, report)
                kept = judging.judge(url, key, model, "famulus" if base_url is None else url)
        except KeyboardInterrupt:
            click.echo(err=True)
            sys.exit(INTERRUPTED)
        sys.exit(0 if kept else 1)

    return conformance


@contextmanager
def _server(
    base_url: str | None, api_key: str | None, flags: tuple[str, ...], start_s: float
) -> Iterator[tuple[str, str]]:
    from famulus.own_server import ServerFailed, own_server

    if base_url is not None:
        if flags:
            raise click.UsageError(f"no such option for a server that runs: {flags[0]}")
        yield base_url, api_key or ""
        return
    try:
        with own_server(flags, start_s=start_s, name="conformance") as place:
            yield place
    except ServerFailed as error:
        raise click.ClickException(str(error)) from error


class _Judging:
    def __init__(
        self,
        spec: Path | None,
        only: tuple[str, ...],
        profile: str,
        layers: tuple[str, ...],
        report: Path | None,
    ) -> None:
        self._spec = spec
        self._only = only
        self._profile = profile
        self._layers = layers
        self._report = report

    def judge(self, base_url: str, api_key: str, model: str | None, name: str) -> bool:
        """Look, tell, and write the report; whether nothing deviates unknowingly."""
        import httpx

        from famulus_conformance.layers import Place, listed_model, look
        from famulus_conformance.oracles import find_oracle
        from famulus_conformance.overlay import StaleDeviation
        from famulus_conformance.report import Report
        from famulus_conformance.verdict import Verdict

        try:
            oracle = find_oracle(self._spec)
            model = model or listed_model(base_url, api_key)
            place = Place(base_url=base_url, api_key=api_key, model=model, profile=self._profile)
            findings, ran = look(oracle, place, only=self._only, layers=self._layers, tell=_tell)
        except httpx.HTTPError as error:
            raise click.ClickException(f"{base_url} does not answer: {error!r}") from error
        except (OSError, ValueError, LookupError, StaleDeviation) as error:
            raise click.ClickException(str(error)) from error
        operations = [
            each for each in oracle.operations() if not self._only or each.group in self._only
        ]
        verdict = Verdict(operations, findings, ran)
        report = Report(oracle, verdict, server=f"{name} with the model {model}")
        click.echo(report.table())
        for finding in verdict.broken()[:FAULTS_SHOWN_MAX]:
            _tell(f"{finding.operation}: {finding.what}: {finding.detail}")
        if self._report is not None:
            report.write(self._report)
        return not verdict.broken()


def _tell(text: str) -> None:
    click.echo(text, err=True)
