"""`piped check`: every Problem of some configurations, while nothing is started."""

from __future__ import annotations

import sys

import click

from piped.app.loading import CANNOT_RUN, Settings, checked, counted, enter, mistakes, settings_options, tell
from piped.cases.reading import read_cases
from piped.ground.errors import in_order


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(), metavar="FILE...")
@settings_options
def check(settings: Settings, files: tuple[str, ...]) -> None:
    """Tell every mistake of configurations, each with its place.

    Bundles are imported and processors are made; nothing is configured, opened or started.
    Exits with 78 if one of the files cannot run.

    \b
    Example:
        piped check site.yaml
        piped check --strict examples/*.yaml
    """
    enter(settings)
    failed = False
    for file in files:
        assembly = checked(file, settings)
        problems = in_order([*assembly.problems, *read_cases(assembly)[1]])
        tell(problems, settings)
        failing = mistakes(problems, settings)
        failed |= bool(failing)
        click.echo(
            f"{file}: {counted(failing, 'problem') if failing else 'ok'}, {counted(assembly.graphs, 'pipeline')}"
        )
    sys.exit(CANNOT_RUN if failed else 0)
