"""`piped run`: a configuration as a service, in the foreground unless told otherwise."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

import click
from twisted.internet import defer

from piped.app import reactors
from piped.app.daemon import become_daemon, pid_file
from piped.app.loading import Settings, load, settings_options, start_logging, tell
from piped.app.process import Process
from piped.runtime.assembly import Assembly
from piped.runtime.environment import RuntimeEnvironment

#: Seconds that a stop waits for what is running, unless told otherwise.
DRAIN = 20.0


def _show_reactors(ctx: click.Context, _: Any, is_wanted: bool) -> None:
    if is_wanted and not ctx.resilient_parsing:
        for name, description in reactors.descriptions():
            click.echo(f"{name:12} {description}")
        ctx.exit()


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.Path(), metavar="FILE")
@click.option("-c", "--conf", metavar="FILE", help="The same as FILE.")
@click.option("-s", "--script", metavar="FILE", help="The same; further arguments are left on sys.argv for its code.")
@click.option("-n", "--nodaemon", is_flag=True, help="Accepted; the foreground is the default.")
@click.option("--daemon", "is_daemon", is_flag=True, help="Go to the background.")
@click.option("-p", "--pidfile", metavar="FILE", help="Write the process id there; %d is FILE's name with .pid.")
@click.option("--drain", type=click.FloatRange(min=0), metavar="SECONDS", help="What a stop waits for.  [default: 20]")
@click.option(
    "--help-reactors", is_flag=True, is_eager=True, expose_value=False, callback=_show_reactors, help="List reactors."
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
) -> None:
    """Run a configuration until it is stopped: by SIGTERM, by ctrl-C, or by itself.

    Batons that are being processed then have --drain seconds to end; a second signal ends at once.

    \b
    Exit codes: 0 stopped as asked, 1 a failure while starting or running,
    2 wrong command line, 78 a configuration that cannot run.

    \b
    Example:
        piped run site.yaml
        piped run site.yaml -O web.site.port:8081 --log-format json
    """
    file = _the_file(words, conf, script)
    assembly = load(file, settings)
    default_pidfile = os.path.splitext(os.path.basename(file))[0] + ".pid"
    if is_daemon:
        become_daemon()
        pidfile = default_pidfile if pidfile is None else pidfile
    with pid_file(pidfile and pidfile.replace("%d", default_pidfile)):
        exit_code = _serve(assembly, settings, drain)
    sys.exit(exit_code)


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


def _serve(assembly: Assembly, settings: Settings, drain: float | None) -> int:
    """Run the reactor until the process has stopped; gives the exit code."""
    start_logging(settings)
    reactor = reactors.install(settings.reactor)
    environment = RuntimeEnvironment(assembly.document, reactor=reactor)
    if settings.is_debugging:
        environment.is_debugging = True
        defer.setDebugging(True)
    deadline = drain if drain is not None else assembly.framework.get("drain", DRAIN)
    process = Process(assembly, environment, deadline=deadline, tell=tell)
    _name_process(assembly.framework.get("service_name", "piped"))
    reactor.addSystemEventTrigger("before", "shutdown", process.stop)
    # Not callWhenRunning: that comes before asyncio's loop runs.
    reactor.callLater(0, process.start)
    reactor.callWhenRunning(_listen_to_signals, reactor, process)
    reactor.run()
    return process.exit_code


def _listen_to_signals(reactor: Any, process: Process) -> None:
    """In place of the reactor's own handlers, which know no second signal."""
    for number in (signal.SIGINT, signal.SIGTERM):
        name = signal.Signals(number).name
        signal.signal(number, lambda *_, name=name: reactor.callFromThread(process.signalled, name))


def _name_process(name: str) -> None:
    try:
        import setproctitle  # optional: the name in lists of processes
    except ImportError:
        return
    setproctitle.setproctitle(name)
