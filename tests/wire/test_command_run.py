"""`piped run` as an operator sees it: signals, exit codes, ports, logs."""

import http.client
import json
import resource
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from commands import PIPED, Running, fetch, piped

SITE = """\
web:
  site:
    port: 0
    routing:
      __config__: {processor: hello}
      slow:
        __config__: {processor: slow}
      failing:
        __config__: {processor: failing}
pipelines:
  hello:
    - write-web-response: {fallback_content: hello}
  slow:
    - log: {message: a slow one}
    - wait: {delay: 1.5}
    - write-web-response: {fallback_content: late}
  failing:
    - set-value: {path: a, value: 1}
    - exec-code:
        code: |
          raise LookupError('it is not here')
"""


def unanswered(url):
    """Ask for something that will never be answered."""
    with pytest.raises(OSError):  # noqa: PT011 - however the connection ends
        fetch(url)


@pytest.fixture
def site(tmp_path):
    file = tmp_path / "site.yaml"
    file.write_text(SITE)
    return file


def in_background(function):
    """Call something in a thread; gives a function that waits for what it gave."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()

    def result():
        thread.join(30)
        return results[0]

    return result


def test_sigterm_lets_what_is_running_end(site, tmp_path):
    """A request that is being processed when SIGTERM comes is answered; new ones find the port closed."""
    with Running(site, cwd=tmp_path) as running:
        url = running.url()
        slow = in_background(lambda: fetch(url + "slow"))
        running.wait_for("a slow one")
        running.process.send_signal(signal.SIGTERM)
        running.wait_for("stopping")
        assert (slow().code, slow().body) == (200, "late")
        assert running.ended() == 0


def test_the_deadline_of_a_stop_cuts_short_what_takes_longer(site, tmp_path):
    """What is still running when --drain is over is cancelled, told, and makes the exit code 1."""
    with Running(site, "--drain", "0.2", cwd=tmp_path) as running:
        url = running.url()
        slow = in_background(lambda: fetch(url + "slow"))
        running.wait_for("a slow one")
        assert running.stop() == 1
        assert "web.site" in running.wait_for("cut short")
        assert slow().code == 500


def test_a_second_signal_ends_at_once(site, tmp_path):
    """Who cannot wait sends a second signal."""
    with Running(site, cwd=tmp_path) as running:
        url = running.url()
        in_background(lambda: unanswered(url + "slow"))
        running.wait_for("a slow one")
        running.process.send_signal(signal.SIGTERM)
        running.wait_for("stopping")
        assert running.stop(signal.SIGTERM, timeout=1) == 1
        assert "ending at once" in running.log


def test_a_port_in_use_is_told_with_its_place(site, tmp_path):
    """A port that another process has is one line with the place of the configuration, and exit code 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        site.write_text(SITE.replace("port: 0", f"port: {port}"))
        done = piped("run", "site.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert f"site.yaml:3:11: web.site cannot listen on port {port}: address already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_configuration_that_cannot_run_exits_with_78(site, tmp_path):
    """run tells the same mistakes as check, and starts nothing."""
    site.write_text(SITE.replace("processor: slow", "processor: slwo"))
    run, check = (piped(verb, "site.yaml", cwd=tmp_path) for verb in ("run", "check"))
    assert run.returncode == check.returncode == 78
    for done in (run, check):
        assert "site.yaml:7:33: there is no 'slwo' – did you mean 'slow'?" in done.stderr


def test_the_flags_of_piped_0_7_work(site, tmp_path):
    """`piped -nc site.yaml -O path:value` runs as it did."""
    site.write_text(SITE.replace("port: 0", "port: none"))
    with Running("-nc", "site.yaml", "-O", "web.site.port:0", cwd=tmp_path) as running:
        assert running.get().body == "hello"
        assert running.stop(signal.SIGINT) == 0


def test_options_without_a_verb_mean_run(site, tmp_path):
    """The command line of Piped 0.7 needs no verb."""
    done = piped("-nc", "nowhere.yaml", cwd=tmp_path)
    assert done.returncode == 78
    assert "nowhere.yaml" in done.stderr


def test_a_failing_processor_is_logged_once_and_signed(site, tmp_path):
    """A failure costs one request: 500, one log line with pipeline, step, place and traceback; the process goes on."""
    with Running(site, cwd=tmp_path) as running:
        failed = running.get("/failing")
        assert (failed.code, "Processing Failed" in failed.body) == (500, True)
        assert "LookupError" not in failed.body
        assert running.get().body == "hello"
        assert running.stop() == 0
    assert running.log.count("in pipeline failing, step exec-code-1 (site.yaml:19:7)") == 2  # line and traceback
    assert running.log.count("Traceback") == 1
    assert 'site.yaml", line 21' in running.log
    assert "raise LookupError('it is not here')" in running.log


def test_json_logs_are_an_object_a_line_with_the_baton(site, tmp_path):
    """--log-format json: every line is an object; a line written for a baton names it and its source."""
    with Running("site.yaml", "--log-format", "json", cwd=tmp_path) as running:
        running.get("/slow")
        running.get("/failing")
        assert running.stop() == 0
    told = [json.loads(line) for line in running.lines]
    [slow] = [line for line in told if line["message"] == "a slow one"]
    [failed] = [line for line in told if "LookupError" in line["message"]]
    assert slow["source"] == failed["source"]
    assert slow["baton"] != failed["baton"]
    assert slow["baton"].startswith(slow["source"])
    assert "it is not here" in failed["traceback"]
    [stopped] = [line for line in told if line["message"] == "stopped"]
    assert "baton" not in stopped, "the stop is the work of no baton"


def test_a_service_can_stop_itself(tmp_path):
    """A pipeline with `shutdown` ends the process with exit code 0, and the shutdown event is told before."""
    (tmp_path / "script.yaml").write_text(
        "system-events:\n"
        "  startup: {go: begin}\n"
        "  shutdown: {say: end}\n"
        "pipelines:\n"
        "  begin: [{log: {message: it begins}}, shutdown]\n"
        "  end: [{wait: {delay: 0.1}}, {log: {message: it ends}}]\n"
    )
    done = piped("run", "script.yaml", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr.index("it begins") < done.stderr.index("it ends") < done.stderr.index("stopped")


def test_a_pid_file_is_written_when_asked_for(site, tmp_path):
    """-p holds the process id while the service runs, and is gone afterwards."""
    pid = tmp_path / "site.pid"
    with Running("site.yaml", "-p", "%d", cwd=tmp_path) as running:
        assert int(pid.read_text()) == running.process.pid
        assert running.stop() == 0
    assert not pid.exists()


def test_ticks_come_until_the_service_stops(tmp_path):
    """An interval of ticks feeds its pipeline again and again."""
    (tmp_path / "ticks.yaml").write_text(
        "ticks: {interval: {often: {interval: 0.05, processor: count}}}\n"
        "pipelines: {count: [{log: {message: a tick}}]}\n"
    )
    with Running("ticks.yaml", cwd=tmp_path) as running:
        for _ in range(3):
            running.wait_for("a tick")
            running.lines.clear()
        assert running.stop() == 0


@pytest.mark.parametrize("reactor", ["asyncio", "epoll", "uvloop"])
def test_every_reactor_serves(site, tmp_path, reactor):
    """--reactor chooses another loop; what needs no asyncio works on all of them."""
    with Running("site.yaml", "-r", reactor, cwd=tmp_path) as running:
        assert running.get().body == "hello"
        assert running.get("/slow").body == "late"
        assert running.stop() == 0


def test_nothing_of_a_baton_reaches_the_next_one_on_its_connection(tmp_path):
    """A failure that was handled for one request is not the current failure of those that follow it."""
    (tmp_path / "site.yaml").write_text(
        "web:\n"
        "  site:\n"
        "    port: 0\n"
        "    routing:\n"
        "      fail: {__config__: {processor: fail}}\n"
        "      tell: {__config__: {processor: tell}}\n"
        "pipelines:\n"
        "  fail:\n"
        "    - raise-exception:\n"
        "        error_consumers: [{inline-pipeline: tell}]\n"
        "  tell:\n"
        "    - eval-lambda:\n"
        "        output_path: content\n"
        "        namespace: {current_failure: piped.current_failure}\n"
        "        lambda: 'baton: repr(current_failure())'\n"
        "    - wait: {delay: 0.01}\n"
        "    - write-web-response: {}\n"
    )
    with Running("site.yaml", cwd=tmp_path) as running:
        connection = http.client.HTTPConnection(running.url("").removeprefix("http://"), timeout=30)
        told = []
        for path in ("/fail", "/tell", "/fail", "/tell"):
            connection.request("GET", path)
            told.append(connection.getresponse().read().decode())
        connection.close()
        assert running.stop() == 0
    assert ["Failure" in text for text in told] == [True, False, True, False], told
    assert "<web.site" not in running.wait_for("stopped")


def test_a_configuration_can_be_a_script_with_arguments(tmp_path):
    """With `piped -ns` in its first line a configuration is executable; what follows it is on sys.argv."""
    script = tmp_path / "script.yaml"
    script.write_text(
        f"#!{PIPED} -ns\n"
        "system-events: {startup: {go: begin}}\n"
        "pipelines:\n"
        "  begin:\n"
        "    - exec-code: {code: 'import sys; print(sys.argv, flush=True)'}\n"
        "    - shutdown\n"
    )
    script.chmod(0o755)
    done = subprocess.run([script, "one", "--two", "-3"], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.returncode) == (f"{[str(script), 'one', '--two', '-3']}\n", 0), done.stderr


def test_the_run_directory_is_where_relative_names_begin(tmp_path):
    """-d changes to a directory first; the configuration is still found where the command was written."""
    (tmp_path / "there").mkdir()
    (tmp_path / "site.yaml").write_text(
        "system-events: {startup: {go: begin}}\n"
        'pipelines: {begin: [{exec-code: {code: \'open("made", "w")\'}}, shutdown]}\n'
    )
    assert piped("run", "-d", "there", "site.yaml", cwd=tmp_path).returncode == 0
    assert (tmp_path / "there" / "made").exists()


def test_the_deadline_of_a_stop_can_stand_in_the_configuration(site, tmp_path):
    """The key `drain` is what --drain is; a command line wins over it."""
    site.write_text(f"drain: 0.2\n{SITE}")
    with Running(site, cwd=tmp_path) as running:
        url = running.url()
        slow = in_background(lambda: fetch(url + "slow"))
        running.wait_for("a slow one")
        assert running.stop() == 1
        assert "0.2 s to end" in running.log
        assert slow().code == 500


def test_a_long_start_tells_what_it_waits_for(tmp_path):
    """The log says who waits for what, and when that is over."""
    (tmp_path / "late_bundle.py").write_text(
        "from piped import provider\n"
        "@provider('late')\n"
        "class Late:\n"
        "    def configure(self, runtime_environment):\n"
        "        self.reactor = runtime_environment.reactor\n"
        "        runtime_environment.resource_manager.register('late.thing', self)\n"
        "    def add_consumer(self, dependency):\n"
        "        self.reactor.callLater(2.5, dependency.on_resource_ready, 'here it is')\n"
    )
    (tmp_path / "late.yaml").write_text(
        "plugins: {bundles: {mine: [late_bundle]}}\n"
        "late: {}\n"
        "ticks: {interval: {often: {interval: 1, processor: p}}}\n"
        "pipelines: {p: [{eval-lambda: {lambda: 'b: b', dependencies: {thing: late.thing}}}]}\n"
    )
    with Running("late.yaml", cwd=tmp_path) as running:
        running.wait_for("ready: nothing is being waited for any more")
        assert running.wait_for("often waits for late.thing")
        assert running.stop() == 0


def test_a_provider_that_fails_while_starting_ends_the_process(tmp_path):
    """Exit code 1, and the traceback begins in the provider."""
    (tmp_path / "failing_bundle.py").write_text(
        "from piped import provider\n"
        "@provider('failing')\n"
        "class Failing:\n"
        "    def configure(self, runtime_environment):\n"
        "        raise LookupError('it is not here')\n"
    )
    (tmp_path / "site.yaml").write_text("plugins: {bundles: {mine: [failing_bundle]}}\nfailing: {}\n")
    done = piped("run", "site.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert "LookupError: it is not here" in done.stderr
    assert 'failing_bundle.py", line 5' in done.stderr
    assert "/piped/app/" not in done.stderr


def test_where_the_log_goes_can_be_configured(tmp_path):
    """-l: Python's logging configuration in YAML with the tags of Piped; lines of any logger carry their baton."""
    (tmp_path / "log.yaml").write_text(
        "version: 1\n"
        "formatters:\n"
        "  mine: {format: '%(levelname)s %(name)s %(baton)s %(source)s %(message)s'}\n"
        "  json: {(): piped.runtime.logs.JSONFormatter}\n"
        "handlers:\n"
        "  all: {class: logging.FileHandler, filename: !filepath all.log, formatter: mine}\n"
        "  own: {class: logging.FileHandler, filename: '${LOGS:-own}.log', formatter: json}\n"
        "root: {level: INFO, handlers: [all]}\n"
        "loggers:\n"
        "  mine: {handlers: [own]}\n"
    )
    (tmp_path / "site.yaml").write_text(
        "system-events: {startup: {go: begin}}\n"
        "pipelines: {begin: [{log: {message: it begins, logger_name: mine}}, shutdown]}\n"
    )
    done = piped("run", "-l", "log.yaml", "site.yaml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    told = (tmp_path / "all.log").read_text().splitlines()
    assert told == [
        "INFO mine system-events.startup.go-1 system-events.startup.go it begins",
        "INFO piped   stopped",
    ]
    own = json.loads((tmp_path / "own.log").read_text())
    assert (own["message"], own["baton"]) == ("it begins", "system-events.startup.go-1")


def test_a_logging_configuration_that_cannot_be_used_is_told(tmp_path):
    """Exit code 78 and the name of the file, before anything starts."""
    (tmp_path / "site.yaml").write_text("pipelines: {a: [passthrough]}\n")
    (tmp_path / "log.yaml").write_text("version: 1\nhandlers: {a: {class: no.such.Handler}}\n")
    done = piped("run", "-l", "log.yaml", "site.yaml", cwd=tmp_path)
    assert done.returncode == 78
    assert "log.yaml cannot be used for logging: Unable to configure handler 'a': Cannot resolve" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_step_that_never_ends_does_not_keep_a_second_signal_from_ending_the_process(tmp_path):
    """Even when the reactor never turns again."""
    (tmp_path / "site.yaml").write_text(
        "system-events: {startup: {go: begin}}\n"
        "pipelines: {begin: [{log: {message: it begins}}, {exec-code: {code: 'while True: pass'}}]}\n"
    )
    with Running("site.yaml", cwd=tmp_path, ready="it begins") as running:
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)  # nothing tells that the first signal has arrived: that is the point
        assert running.stop(signal.SIGTERM, timeout=5) == 1


def test_json_logs_hold_the_failure_of_a_start_too(site, tmp_path):
    """Whoever collects the log as JSON gets nothing else, whatever happens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        site.write_text(f"twitter: {{}}\n{SITE}".replace("port: 0", f"port: {port}"))
        done = piped("run", "site.yaml", "--log-format", "json", cwd=tmp_path)
    told = [json.loads(line) for line in done.stderr.splitlines()]
    assert (done.returncode, [line["level"] for line in told]) == (1, ["warning", "critical", "info"])
    assert told[1]["message"].startswith("site.yaml:4:11: web.site cannot listen on port")


def test_a_step_that_exits_costs_one_request(tmp_path):
    """A step that calls exit(), at once or after a wait, gets 500 for its request; the process goes on."""
    (tmp_path / "site.yaml").write_text(
        "web:\n"
        "  site:\n"
        "    port: 0\n"
        "    routing:\n"
        "      __config__: {processor: hello}\n"
        "      now: {__config__: {processor: now}}\n"
        "      later: {__config__: {processor: later}}\n"
        "pipelines:\n"
        "  hello: [{write-web-response: {fallback_content: hello}}]\n"
        "  now: [{exec-code: {code: raise SystemExit(3)}}]\n"
        "  later:\n"
        "    - exec-code:\n"
        "        namespace: {asyncio: asyncio}\n"
        "        code: |\n"
        "          await asyncio.sleep(0)\n"
        "          raise SystemExit(4)\n"
    )
    with Running("site.yaml", cwd=tmp_path) as running:
        assert [running.get(path).code for path in ("/now", "/later", "/now", "/")] == [500, 500, 500, 200]
        assert running.stop() == 0
    assert running.log.count("failed for GET /later: SystemExit: 4") == 1


def test_a_bundle_may_import_the_reactor(tmp_path):
    """A module that imports the reactor gets the one that runs, as any program on Twisted expects."""
    (tmp_path / "timing.py").write_text(
        "from twisted.internet import reactor\n"
        "from piped import processor\n"
        "@processor('tell-reactor')\n"
        "def tell(baton):\n"
        "    baton['content'] = f'{reactor.running} {type(reactor).__name__}'\n"
    )
    (tmp_path / "site.yaml").write_text(
        "plugins: {bundles: {mine: [timing]}}\n"
        "web: {site: {port: 0, routing: {__config__: {processor: tell}}}}\n"
        "pipelines: {tell: [tell-reactor, write-web-response: {}]}\n"
    )
    with Running("site.yaml", cwd=tmp_path) as running:
        assert running.get().body == "True AsyncioReactor"
        assert running.stop() == 0


def test_a_shutdown_that_takes_too_long_is_cancelled(tmp_path):
    """What hears of the stop has until the deadline, is cancelled then, and makes the exit code 1."""
    (tmp_path / "script.yaml").write_text(
        "system-events: {startup: {go: begin}, shutdown: {last: end}}\n"
        "pipelines:\n"
        "  begin: [shutdown]\n"
        "  end:\n"
        "    - exec-code:\n"
        "        namespace: {asyncio: asyncio, logging: logging}\n"
        "        code: |\n"
        "          try:\n"
        "              await asyncio.sleep(1000)\n"
        "          finally:\n"
        "              logging.warning('cleaned up')\n"
    )
    done = piped("run", "script.yaml", "--drain", "0", cwd=tmp_path)
    assert done.returncode == 1
    assert "cleaned up" in done.stderr
    assert "the shutdown event did not end in time" in done.stderr


def test_a_thread_that_never_ends_does_not_keep_the_process(tmp_path):
    """A stop ends within its deadline and a little, and tells which line the thread was at."""
    (tmp_path / "site.yaml").write_text(
        """
        system-events: {startup: {one: blocking}}
        pipelines:
          blocking:
            - exec-code:
                namespace: {defer_to: twisted.internet.threads.deferToThread, sleep: time.sleep}
                code: |
                  logger.info('about to block')
                  return defer_to(sleep, 600)
        """
    )
    with Running("site.yaml", "--drain", "0", cwd=tmp_path, ready="about to block") as running:
        assert running.stop() == 1
        assert running.wait_for("ending without the threads that do not end: PoolThread-")


def test_a_service_may_have_many_connections(site, tmp_path):
    """The limit of open files that a shell has set is raised as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Running(site, cwd=tmp_path) as running:
        limits = Path(f"/proc/{running.process.pid}/limits").read_text().splitlines()
        [line] = [line for line in limits if "open files" in line]
        assert int(line.split()[3]) == max(soft, min(hard, 65_536))
