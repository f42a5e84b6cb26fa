"""The command: a server, a client, and the story that they play."""

from __future__ import annotations

import importlib.util
import signal
import sys
from contextlib import closing

import click

MISSING = 'the demo needs the official client: pip install "famulus[demo]"'
INTERRUPTED = 130
"""What a shell expects of a program that Ctrl-C ended."""


def demo() -> click.Command:
    """The command."""

    @click.command("demo", context_settings={"ignore_unknown_options": True})
    @click.option("--model", help="The model to talk to; the first that is listed if not given.")
    @click.option(
        "--start-s", default=60.0, show_default=True, help="Seconds the server may take to start."
    )
    @click.argument("flags", nargs=-1, type=click.UNPROCESSED)
    def demo(model: str | None, start_s: float, flags: tuple[str, ...]) -> None:
        """Play a whole conversation with a server of its own.

        All further flags are those of `famulus serve`, such as --backend URL. What the server
        keeps is thrown away at the end.
        """
        if importlib.util.find_spec("openai") is None:
            raise click.ClickException(MISSING)
        # Told to end in any way, it ends its server too.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            _play(model, flags, start_s)
        except KeyboardInterrupt:
            click.echo()
            sys.exit(INTERRUPTED)

    return demo


def _play(model: str | None, flags: tuple[str, ...], start_s: float) -> None:
    import openai

    from famulus.own_server import ServerFailed, own_server
    from famulus_demo.stage import StoryFailed, perform
    from famulus_demo.story import story

    try:
        with (
            own_server(flags, start_s=start_s, name="demo") as (base_url, api_key),
            closing(openai.OpenAI(base_url=base_url, api_key=api_key)) as client,
        ):
            click.echo(click.style(f"A server of its own listens on {base_url}\n", dim=True))
            perform(story, client, model or next(iter(client.models.list())).id)
    except (ServerFailed, StoryFailed) as error:
        raise click.ClickException(str(error)) from error
    except openai.APIError as error:
        raise click.ClickException(f"the server refused: {error}") from error
