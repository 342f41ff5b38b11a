"""Tests of the batons that tell of the start and the stop of the process."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from providers_stage import Needy, Offer, assembled, fail, recorder, resource

from piped import ConfigurationError, RuntimeEnvironment, processor
from piped.runtime.draining import drain

STARTUP, SHUTDOWN = {"event_type": "startup"}, {"event_type": "shutdown"}


def started(site: RuntimeEnvironment) -> RuntimeEnvironment:
    """What the command does once everything is resolved."""
    site.application.startService()
    site.after_start()
    return site


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_the_start_and_the_stop_are_told() -> None:
    """Each processor gets one baton that names the event; not before all services have started."""
    record, batons = recorder()
    site = assembled(
        "system-events: {startup: {a: main, b: pipeline.main}, shutdown: {a: main}}\npipelines: {main: [record]}",
        record,
    )
    site.application.startService()
    assert batons == []
    site.after_start()
    assert batons == [STARTUP, STARTUP]
    assert site.before_stop().called
    assert batons == [STARTUP, STARTUP, SHUTDOWN]


def test_each_processor_gets_a_baton_of_its_own() -> None:
    """What one pipeline writes into it, the next does not see."""
    seen = []

    @processor("mark")
    def mark(baton: Any) -> None:
        seen.append(dict(baton))
        baton["marked"] = True

    started(assembled("system-events: {startup: {a: main, b: main}}\npipelines: {main: [mark]}", mark))
    assert seen == [STARTUP, STARTUP]


def test_a_processor_may_be_a_mapping() -> None:
    """`{provider: …}` means the same as the path; one that does not exist is told at its place."""
    record, batons = recorder()
    text = "system-events: {startup: {a: {provider: main, more: 5}}}\npipelines: {main: [record]}"
    started(assembled(text, record))
    assert batons == [STARTUP]
    with pytest.raises(ConfigurationError, match=r"site\.yml:1:41: there is no 'man' – did you mean 'main'"):
        assembled(text.replace("provider: main", "provider: man"), record)


def test_a_processor_that_is_not_ready_hears_of_the_start_when_it_is() -> None:
    """Once: not again when it was lost in between."""
    record, batons = recorder()
    outside = Offer()
    text = "system-events: {startup: {a: main}}\npipelines: {main: [needy, record]}"
    started(assembled(text, record, Needy, offers={"outside": outside}))
    assert batons == []
    outside.deliver("it")
    assert batons == [STARTUP]
    outside.lose()
    outside.deliver("it")
    assert batons == [STARTUP]


def test_a_source_that_closes_before_it_took_the_start_is_told_later() -> None:
    """Whoever pauses it as soon as it opens delays the baton, and does not lose it."""
    record, batons = recorder()
    outside = Offer()
    text = "system-events: {startup: {a: main}}\npipelines: {main: [needy, record]}"
    site = assembled(text, record, Needy, offers={"outside": outside})
    [source] = site.sources

    def pause() -> None:
        source.on_open -= pause
        source.pause()

    source.on_open += pause
    started(site)
    outside.deliver("it")
    assert batons == []
    source.resume()
    assert batons == [STARTUP]


def test_a_start_that_takes_its_time_is_told_once() -> None:
    """A pipeline that waits does not get a second baton when it has ended."""
    record, batons = recorder()
    site = started(
        assembled("system-events: {startup: {a: main}}\npipelines: {main: [record, wait: {delay: 5}]}", record)
    )
    site.reactor.advance(10)
    assert batons == [STARTUP]


def test_nothing_is_told_of_the_start_once_the_process_stops() -> None:
    """What becomes ready while the process drains gets no baton."""
    record, batons = recorder()
    outside = Offer()
    text = "system-events: {startup: {a: main}}\npipelines: {main: [needy, record]}"
    site = started(assembled(text, record, Needy, offers={"outside": outside}))
    drain(site.sources, 10, site.reactor)
    outside.deliver("it")
    assert batons == []


def test_a_stop_waits_for_what_the_start_set_off() -> None:
    """A startup pipeline is drained like every source."""
    site = started(assembled("system-events: {startup: {a: main}}\npipelines: {main: [wait: {delay: 5}]}"))
    drained = drain(site.sources, 10, site.reactor)
    site.reactor.advance(4.9)
    assert not drained.called
    site.reactor.advance(0.1)
    assert drained.called


def test_the_stop_waits_for_all_that_hear_of_it() -> None:
    """Pipelines that take their time run beside each other; the stop goes on when the last has ended."""
    text = """
        system-events: {shutdown: {a: long, b: short}}
        pipelines: {long: [wait: {delay: 5}, record], short: [wait: {delay: 2}, record]}
    """
    record, batons = recorder()
    site = started(assembled(text, record))
    stopping = site.before_stop()
    site.reactor.advance(2)
    assert (len(batons), stopping.called) == (1, False)
    site.reactor.advance(3)
    assert (len(batons), stopping.called) == (2, True)


def test_the_stop_can_be_cut_short() -> None:
    """At the deadline the stop is cancelled, and with it what still runs."""
    record, batons = recorder()
    site = started(
        assembled("system-events: {shutdown: {a: main}}\npipelines: {main: [wait: {delay: 100}, record]}", record)
    )
    stopping = site.before_stop()
    stopping.cancel()
    assert stopping.called
    assert not site.reactor.getDelayedCalls()
    assert batons == []


def test_a_processor_that_is_never_ready_does_not_keep_the_stop(caplog: pytest.LogCaptureFixture) -> None:
    """It is left out with a warning that names it; the others are told."""
    record, batons = recorder()
    text = """
        system-events: {shutdown: {never: waits, a: main}}
        pipelines: {waits: [needy, record], main: [record]}
    """
    site = started(assembled(text, record, Needy, offers={"outside": Offer()}))
    assert site.before_stop().called
    assert batons == [SHUTDOWN]
    assert warnings_in(caplog) == ["system-events.shutdown.never is left out: what processes the batons is not ready"]


def test_a_processor_that_fails_is_logged_and_keeps_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    """One line with pipeline, step and traceback; the others hear of the event, and the stop goes on."""
    record, batons = recorder()
    text = """
        system-events: {startup: {a: failing, b: main}, shutdown: {a: failing, b: main}}
        pipelines: {failing: [fail], main: [record]}
    """
    site = started(assembled(text, record, fail))
    assert site.before_stop().called
    assert batons == [STARTUP, SHUTDOWN]
    told = warnings_in(caplog)
    assert [line.split(":")[0] for line in told] == [
        "system-events.startup.a failed",
        "system-events.shutdown.a failed",
    ]
    assert "ValueError: this step fails (in pipeline failing, step fail-1" in told[0]


def test_of_a_start_that_failed_no_stop_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Only a process that has begun has an end to tell of."""
    record, batons = recorder()
    site = assembled("system-events: {shutdown: {a: main}}\npipelines: {main: [record]}", record)
    assert site.before_stop().called
    assert (batons, warnings_in(caplog)) == ([], [])


def test_a_context_can_be_saved_by_the_shutdown(tmp_path: Any) -> None:
    """What the shutdown pipeline changes is still written, as services stop after it."""
    text = f"""
        persisted_contexts: {{state: {{file: {tmp_path}/state.json}}}}
        system-events: {{shutdown: {{a: main}}}}
        pipelines:
            main:
                - fetch-persisted-context: {{context: state}}
                - set-value: {{path: state.ended, value: well}}
    """
    site = started(assembled(text))
    assert site.before_stop().called
    site.application.stopService()
    assert resource(site, "persisted_context.state") == {"ended": "well"}
    assert (tmp_path / "state.json").read_text() == '{"ended": "well"}'


@pytest.mark.parametrize("text", ["system-events:", "system-events: {startup: }", "system-events: {shutdown: {}}"])
def test_nobody_has_to_listen(text: str) -> None:
    """An empty section is no mistake."""
    assert started(assembled(text)).before_stop().called


def test_an_unknown_event_is_told() -> None:
    """There are two events."""
    with pytest.raises(ConfigurationError, match=r"site\.yml:1:17: .*'startp' – did you mean 'startup'"):
        assembled("system-events: {startp: {a: main}}\npipelines: {main: [passthrough]}")
