"""The command `piped`: its verbs, and the flags of Piped 0.7 that stand for `piped run`."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import click

from piped.app.check import check
from piped.app.follow import draw, trace
from piped.app.run import run
from piped.app.show import list_, schema, show

_OURS = ("--help", "--version", "-v")


class Verbs(click.Group):
    """Understands `piped -nc site.yaml`: options without a verb are those of `run`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0].startswith("-") and args[0] not in _OURS:
            args = ["run", *args]
        return super().parse_args(ctx, args)


def _show_version(ctx: click.Context, _: Any, is_wanted: bool) -> None:
    if is_wanted and not ctx.resilient_parsing:
        click.echo(f"piped {version('piped')}, Twisted {version('twisted')}, Python {platform.python_version()}")
        ctx.exit()


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-v", "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version)
def main() -> None:
    """Wire protocols to processing, in YAML.

    \b
    Example:
        piped run site.yaml         start a service in the foreground
        piped check site.yaml       tell its mistakes, start nothing
        piped show eval-lambda      read about a processor
        piped -nc site.yaml         as Piped 0.7 was called

    \b
    Completion in the shell:
        eval "$(_PIPED_COMPLETE=bash_source piped)"      or zsh_source, fish_source
    """


for verb in (run, check, list_, show, schema, draw, trace):
    main.add_command(verb)
