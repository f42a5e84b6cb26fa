"""`famulus sandbox`: install packages for boxes, and say how well they are shut."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from famulus.commands import configured, provided
from famulus.config import Config
from famulus.lifecycle import BootError
from famulus_boxes.environment import find_environment, folder_of
from famulus_sandbox.install import InstallFailed, install
from famulus_schemas.ports import SANDBOX

PACKAGES = Path(__file__).with_name("packages.txt")


def sandbox() -> click.Group:
    """The group of commands."""

    @click.group("sandbox")
    def sandbox() -> None:
        """Boxes in which the code of models runs."""

    @sandbox.command("install")
    @click.option("--add", "more", multiple=True, help="A further package, as for pip; repeatable.")
    @click.option(
        "--requirements",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        default=PACKAGES,
        help="A file of pip's to install instead of what is pinned here.",
    )
    @click.option(
        "--wheels",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="A folder of wheels to install from; nothing is fetched then.",
    )
    @click.option("--python", help="The interpreter of boxes, as in the sandbox's settings.")
    @configured
    def install_packages(
        config: Config,
        more: tuple[str, ...],
        requirements: Path,
        wheels: Path | None,
        python: str | None,
    ) -> None:
        """Install what code in boxes can import, apart from the server's own packages."""
        data_dir = Path(config.server.data_dir)
        try:
            environment = find_environment(data_dir, python)
            packages = install(
                folder_of(data_dir), environment, requirements, more=more, wheels=wheels
            )
        except InstallFailed as error:
            raise click.ClickException(str(error)) from error
        click.echo("Boxes can import: " + ", ".join(packages))
        click.echo("Boxes that are opened after the server's next start have them.", err=True)

    @sandbox.command("status")
    @configured
    def status(config: Config) -> None:
        """Try to break out of a box, and say how well boxes are shut; exits 1 for not at all."""
        if not asyncio.run(_status(config)):
            raise SystemExit(1)

    return sandbox


async def _status(config: Config) -> bool:
    try:
        async with provided(config, SANDBOX) as sandbox:
            probe = await sandbox.probe()
    except BootError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"provider: {probe.provider}")
    click.echo(f"level: {probe.level}")
    for reason in probe.reasons:
        click.echo(f"  {reason}")
    if probe.level == "none":
        return False
    click.echo(f"python: {probe.python}")
    packages = ", ".join(probe.packages) or "none; run `famulus sandbox install`"
    click.echo(f"packages: {packages}")
    return True
