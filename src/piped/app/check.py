"""`piped check`: every Problem of some configurations, while nothing is started."""

from __future__ import annotations

import sys

import click

from piped.app.loading import CANNOT_RUN, Settings, checked, enter, located, mistakes, settings_options, tell


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
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
    paths = located(files, settings)
    enter(settings)
    failed = False
    for file, path in zip(files, paths, strict=True):
        assembly = checked(path, settings)
        tell(assembly.problems)
        failing = mistakes(assembly.problems, settings)
        failed |= bool(failing)
        count = f"{len(failing)} problem{'s' if len(failing) > 1 else ''}" if failing else "ok"
        pipelines = f"{len(assembly.graphs)} pipeline{'' if len(assembly.graphs) == 1 else 's'}"
        click.echo(f"{file}: {count}, {pipelines}")
    sys.exit(CANNOT_RUN if failed else 0)
