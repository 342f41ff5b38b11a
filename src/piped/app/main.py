"""The command `piped`: its verbs, and the flags of Piped 0.7 that stand for `piped run`."""

from __future__ import annotations

import os
import platform
from importlib.metadata import entry_points, version
from typing import Any

import click

from piped.app import garbage
from piped.app.check import check
from piped.app.follow import draw, trace
from piped.app.run import run
from piped.app.show import list_, schema, show
from piped.app.testing import test_
from piped.ground.errors import did_you_mean

_OURS = ("-h", "--help", "--version", "-v")


class Verbs(click.Group):
    """Understands `piped -nc site.yaml`: options without a verb are those of `run`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0].startswith("-") and args[0] not in _OURS:
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        verb = args[0]
        if verb not in self.commands and not ctx.resilient_parsing:
            is_file = os.path.exists(verb) or verb.endswith((".yaml", ".yml"))
            advice = f"did you mean: piped run {verb}" if is_file else did_you_mean(verb, self.commands)
            raise click.UsageError(f"there is no verb {verb!r} – {advice}", ctx)
        return super().resolve_command(ctx, args)


def _show_version(ctx: click.Context, _: Any, is_wanted: bool) -> None:
    """Prints the versions of Piped and what it stands on, and which distribution each house comes from."""
    if not is_wanted or ctx.resilient_parsing:
        return
    click.echo(f"piped {version('piped')}, Twisted {version('twisted')}, Python {platform.python_version()}")
    houses = {house.value: house.dist for house in entry_points(group="piped")}
    for name, distribution in sorted(houses.items()):
        click.echo(f"{name}: {distribution.name} {distribution.version}" if distribution else name)
    ctx.exit()


@click.group("piped", cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "-v",
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the versions of Piped and its houses.",
)
def command() -> None:
    """Wire protocols to processing, in YAML.

    \b
    Example:
        piped run site.yaml         start a service in the foreground
        piped check site.yaml       tell its mistakes, start nothing
        piped test site.yaml        run the tests that it holds
        piped show eval-lambda      read about a processor
        piped -nc site.yaml         as Piped 0.7 was called

    \b
    Completion in the shell:
        eval "$(_PIPED_COMPLETE=bash_source piped)"      or zsh_source, fish_source
    """


for verb in (run, check, test_, list_, show, schema, draw, trace):
    command.add_command(verb)


def main() -> None:
    """Be the command: does not return."""
    garbage.pause()
    command(prog_name="piped")
