"""Log lines: their forms, the baton that signs them, and Twisted's events among them."""

import json
import logging

import pytest
from twisted.logger import LogLevel
from twisted.python.failure import Failure

from piped.ground.errors import PipedError
from piped.resources.intake import Ticket
from piped.runtime.logs import JSONFormatter, SignedRecord, StandardLibraryObserver, TextFormatter, told, traceback_of
from piped.runtime.signing import current_baton
from piped.testing import Stage


def record(message="hello %s", *args, error=None, level=logging.INFO, baton=None):
    """A record as it is made while a baton is processed, at a fixed time."""
    sign = current_baton.set(baton)
    try:
        exc_info = (type(error), error, error.__traceback__) if error else None
        made = SignedRecord("mine", level, "here.py", 1, message, args or ("world",), exc_info)
    finally:
        current_baton.reset(sign)
    made.created, made.msecs = 1.25, 250.0
    return made


def failed():
    """An error that was raised."""
    try:
        raise LookupError("it is not here")
    except LookupError as error:
        error.add_note("in pipeline a, step b-1 (site.yaml:2:7)")
        return error


def test_a_line_for_people():
    """Time in UTC with milliseconds, level, logger, message."""
    assert TextFormatter().format(record()) == "1970-01-01T00:00:01.250Z [INFO ] [mine] hello world"


def test_a_line_that_is_written_for_a_baton_names_it():
    """The log of one request can be told from that of the next one."""
    line = TextFormatter().format(record(baton=Ticket("web.site", 17)))
    assert line == "1970-01-01T00:00:01.250Z [INFO ] [mine] <web.site-17> hello world"


def test_a_line_for_machines_is_one_json_object():
    """It holds what there is, and nothing else: no empty values, no line ends."""
    assert json.loads(JSONFormatter().format(record())) == {
        "time": "1970-01-01T00:00:01.250Z",
        "level": "info",
        "logger": "mine",
        "message": "hello world",
    }
    line = JSONFormatter().format(record("ä\n%s", 1, error=failed(), baton=Ticket("web.site", 17)))
    assert "\n" not in line
    assert json.loads(line) | {"traceback": ""} == {
        "time": "1970-01-01T00:00:01.250Z",
        "level": "info",
        "logger": "mine",
        "message": "ä\n1",
        "baton": "web.site-17",
        "source": "web.site",
        "traceback": "",
    }


@pytest.mark.parametrize("formatter", [TextFormatter(), JSONFormatter()])
def test_a_record_of_before_the_start_needs_no_baton(formatter):
    """Lines that were made by other means than ours are written, too."""
    assert "hello" in formatter.format(logging.makeLogRecord({"msg": "hello", "name": "mine"}))


def test_a_traceback_follows_its_line_with_the_step_that_failed():
    """Below the line stand the traceback and its notes, which say the pipeline, the step and its place."""
    first, *traceback = TextFormatter().format(record(error=failed())).splitlines()
    assert first.endswith("hello world")
    assert traceback[0] == "Traceback (most recent call last):"
    assert traceback[-2:] == ["LookupError: it is not here", "in pipeline a, step b-1 (site.yaml:2:7)"]


def test_a_traceback_begins_in_the_step():
    """How a baton came to a step is the same each time, and left out; what the step itself calls is shown."""
    stage = Stage("pipelines: {a: [{eval-lambda: {lambda: 'b: int(b)'}}]}")
    with pytest.raises(ValueError, match="invalid literal") as raised:
        stage.run("a", "no number")
    begin = raised.tb
    while "/piped/runtime/" not in begin.tb_frame.f_code.co_filename:  # the test's own way to the engine
        begin = begin.tb_next
    files = [
        line for line in traceback_of(raised.value.with_traceback(begin)).splitlines() if line.startswith("  File")
    ]
    assert "in <lambda>" in files[-1]
    assert not [line for line in files if "/piped/runtime/" in line or "/piped/pipelines/runs" in line]


def test_a_traceback_shows_no_engine_between_pipelines():
    """Where pipelines run pipelines, what lies between two steps is left out as well, also after a wait."""
    stage = Stage(
        """
        pipelines:
          outer: [run-pipeline: {pipeline: inner}]
          inner: [wait: {delay: 1}, eval-lambda: {lambda: "baton: baton['gone']"}]
        """
    )
    outcome = stage.start("outer", {})
    stage.clock.advance(1)
    failures = []
    outcome.addErrback(failures.append)
    text = traceback_of(failures[0].value)
    assert "in <lambda>" in text
    assert "/piped/runtime/" not in text


def test_an_error_of_the_engine_itself_keeps_its_traceback():
    """Where nothing but the engine was called, the engine is shown."""
    error = failed()
    error.__traceback__ = None
    assert traceback_of(error).startswith("LookupError: it is not here")


class Speechless(Exception):
    def __str__(self):
        raise TypeError("there are no words")


def test_an_exception_in_one_line():
    """Type, text, advice, and where in which pipeline it happened; what has no text is its type alone."""
    assert told(failed()) == "LookupError: it is not here (in pipeline a, step b-1 (site.yaml:2:7))"
    assert told(failed(), with_notes=False) == "LookupError: it is not here"
    assert told(ValueError()) == "ValueError"
    assert told(Speechless()).startswith("Speechless: <Speechless instance")
    assert told(PipedError("too late", detail="much", hint="be early")) == "PipedError: too late: much – be early"


# Twisted's events


@pytest.fixture
def observed(caplog):
    """The records that an event becomes."""
    caplog.set_level(logging.DEBUG)

    def records_of(**event):
        caplog.clear()
        StandardLibraryObserver()(event)
        return [(record.name, record.levelname, record.getMessage()) for record in caplog.records]

    return records_of


def test_an_event_goes_to_the_logger_that_its_system_names(observed):
    """Systems that differ behind a comma, as those of connections do, share a logger; `-` is Twisted's own."""
    for system, logger in ("-", "twisted"), ("web", "web"), ("HTTPChannel,3,127.0.0.1", "HTTPChannel"):
        assert observed(log_format="x", log_system=system) == [(logger, "INFO", "x")]
    assert observed(log_format="x", log_namespace="mine.own") == [("mine.own", "INFO", "x")]
    assert observed(log_format="x") == [("twisted", "INFO", "x")]


def test_the_level_is_that_of_the_event(observed):
    """`warn` of Twisted is `warning` of the standard library; an event without a level is information."""
    levels = [observed(log_format="x", log_level=level)[0][1] for level in LogLevel.iterconstants()]
    assert levels == ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


def test_an_event_without_text_is_dropped_unless_something_failed(observed, caplog):
    """A failure is never lost, with whatever text it comes."""
    assert observed() == []
    failure = Failure(failed())
    assert observed(log_failure=failure, log_level=LogLevel.critical) == [("twisted", "CRITICAL", "unhandled error")]
    assert caplog.records[0].exc_info[1] is failure.value


@pytest.mark.parametrize(
    "event",
    [
        {"log_format": "Main loop terminated.", "log_namespace": "twisted.internet.base"},
        {"log_format": "Starting factory x", "log_namespace": "twisted.internet.protocol.Factory"},
        {"log_format": "Site starting on 8080", "log_namespace": "log_legacy"},
        {"log_format": "(TCP Port 8080 Closed)", "log_namespace": "log_legacy"},
    ],
)
def test_what_twisted_tells_of_its_inner_workings_is_for_debugging(observed, event):
    """Piped tells of its ports itself; a warning stays a warning."""
    assert observed(log_level=LogLevel.info, **event)[0][1] == "DEBUG"
    assert observed(log_level=LogLevel.warn, **event)[0][1] == "WARNING"


def test_what_others_tell_with_the_old_functions_of_twisted_stays(observed):
    """`twisted.python.log.msg` in one's own code is information."""
    [line] = observed(log_format="we are starting on time", log_namespace="log_legacy", log_level=LogLevel.info)
    assert line[1] == "INFO"
