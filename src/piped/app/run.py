"""`piped run`: a configuration as a service, in the foreground unless told otherwise."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import click

from piped.app import garbage, reactors
from piped.app.daemon import Foreground, become_daemon, pid_file
from piped.app.last_resort import end_without_threads
from piped.app.loading import Settings, enter, load, settings_options, start_logging
from piped.app.process import Process, environment_of
from piped.app.signals import listen_to_hang_up, listen_to_signals
from piped.runtime.assembly import Assembly

#: Seconds that a stop waits for what is running, unless told otherwise.
DRAIN = 20.0
#: How many files and connections a process may have open, if the system allows as many.
MOST_FILES = 65_536


def _show_reactors(ctx: click.Context, _: Any, is_wanted: bool) -> None:
    if is_wanted and not ctx.resilient_parsing:
        for name, description in reactors.descriptions().items():
            click.echo(f"{name:12} {description}")
        ctx.exit()


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.Path(), metavar="FILE")
@click.option("-c", "--conf", type=click.Path(), metavar="FILE", help="The same as FILE.")
@click.option(
    "-s",
    "--script",
    type=click.Path(),
    metavar="FILE",
    help="The same; further arguments are left on sys.argv for its code.",
)
@click.option("-n", "--nodaemon", is_flag=True, help="Stay in the foreground, which is the default.")
@click.option("--daemon", "is_daemon", is_flag=True, help="Go to the background once started; -l says where to log.")
@click.option(
    "-p",
    "--pidfile",
    metavar="FILE",
    help="Write the process id there; %d is FILE's name with .pid.  [default: %d with --daemon, else none]",
)
@click.option(
    "--drain",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long a stop waits for what is running; closing down may take 2 s more."
    "  [default: 'drain' of the configuration, or 20]",
)
@click.option("--repl", "has_prompt", is_flag=True, help="Have a Python prompt inside the process: repl.enabled:true.")
@click.option(
    "--help-reactors",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_reactors,
    help="List the reactors that work on this machine.",
)
@settings_options
def run(
    settings: Settings,
    words: tuple[str, ...],
    conf: str | None,
    script: str | None,
    nodaemon: bool,
    is_daemon: bool,
    pidfile: str | None,
    drain: float | None,
    has_prompt: bool,
) -> None:
    """Run a configuration until it is stopped.

    SIGTERM, ctrl-C and the configuration itself can stop it. Batons that are being processed then have --drain
    seconds to end; a second signal ends at once.

    \b
    Exit codes: 0 stopped as asked, 1 a failure while starting or running,
    2 wrong command line, 78 a configuration that cannot run.

    \b
    Example:
        piped run site.yaml
        piped run site.yaml -O web.site.port:8081 --log-format json
    """
    file = _the_file(words, conf, script)
    if nodaemon and is_daemon:
        raise click.UsageError("-n and --daemon exclude each other")
    if has_prompt:
        if is_daemon:
            raise click.UsageError("--repl and --daemon exclude each other: a prompt needs the terminal")
        settings = replace(settings, overrides=(*settings.overrides, "repl.enabled:true"))
    logging = enter(settings)
    start_logging(settings, logging)
    default_pidfile = os.path.splitext(os.path.basename(file))[0] + ".pid"
    foreground = None
    if is_daemon:
        if logging is None:
            click.echo("nobody sees the log of a process in the background: name a file for it with -l", err=True)
        pidfile = default_pidfile if pidfile is None else pidfile
        foreground = become_daemon()
    try:
        # Before anything is loaded: a module that imports the reactor would install another one.
        reactor = reactors.install(settings.reactor)
        assembly = load(file, settings)
        with pid_file(pidfile and pidfile.replace("%d", default_pidfile)):
            sys.exit(_serve(assembly, reactor, settings, drain, foreground))
    except SystemExit as end:
        if foreground and isinstance(end.code, int):
            foreground.release(end.code)
        raise


def _the_file(words: Sequence[str], conf: str | None, script: str | None) -> str:
    """The one file that is meant; a script may have arguments of its own."""
    if script is not None:
        sys.argv = [script, *words]
        return script
    for word in words:
        if word.startswith("-"):
            raise click.NoSuchOption(word)
    files = [*words, *([conf] if conf is not None else [])]
    if len(files) != 1:
        raise click.UsageError("name one configuration file, such as: piped run site.yaml")
    return files[0]


def _serve(
    assembly: Assembly, reactor: Any, settings: Settings, drain: float | None, foreground: Foreground | None
) -> int:
    """Run the reactor until the process has stopped; gives the exit code."""
    environment = environment_of(assembly, reactor, settings.is_debugging)
    deadline = drain if drain is not None else assembly.framework.get("drain", DRAIN)
    process = Process(assembly, environment, deadline=deadline)
    if foreground:
        process.after_start = partial(foreground.release, 0)
    _allow_many_connections()
    _name_process(assembly.framework.get("service_name", "piped"))
    reactor.addSystemEventTrigger("before", "shutdown", lambda: process.stop().addBoth(lambda _: end_without_threads()))
    # Not callWhenRunning: that comes before asyncio's loop runs.
    reactor.callLater(0, process.start)
    reactor.callWhenRunning(listen_to_signals, reactor, process.signalled)
    reactor.callWhenRunning(listen_to_hang_up, reactor, environment.on_reopen, process.signalled)
    garbage.resume()
    reactor.run()
    return process.exit_code


def _allow_many_connections() -> None:
    """Raise the limit of open files as far as the system lets us: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _name_process(name: str) -> None:
    try:
        import setproctitle  # optional: the name in lists of processes
    except ImportError:
        return
    setproctitle.setproctitle(name)
