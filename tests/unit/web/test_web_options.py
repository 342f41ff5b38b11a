"""What may be written in the section `web`, and how mistakes in it are told."""

from __future__ import annotations

from typing import Any

import pytest

from piped.config.reading import read
from piped.ground.errors import Problem
from piped.spec.checking import Checker
from piped.web.options import SiteOptions

SITE = """\
my_site:
    port: 8080
    listen: tcp:1234
    log_exceptions: DEBUG
    debug:
        reap_interval: 60
        max_inactive_time: 300
        allow:
            - localhost
    routing:
        __config__:
            processor: processor_name
        nested:
            __config__:
                debug:
                    allow: []
                processor: another_processor_name
        sparse:
            __config__:
                no_resource_processor: sparse_processor
        js:
            __config__:
                static: ~/js
            foo:
                __config__:
                    processor: {provider: pipeline.foo}
                    static:
                        path: ~/js/foo
                        namespace:
                            now: datetime.datetime.utcnow
                        preprocessors:
                            cache-control: "request: request.setHeader('cache-control', 'public')"
            all.js:
                __config__:
                    concatenated:
                        file_paths: [a.js, b.js]
                        content_type: text/javascript
"""


def checked(text: str, **environ: str) -> tuple[Any, list[Problem]]:
    reading = read(text, "site.yml", environ)
    checker = Checker(environ)
    return checker.value(dict[str, SiteOptions], reading.root, owner="web"), checker.problems


def problems_of(routing: str) -> list[str]:
    return [str(problem) for problem in checked(f"s:\n  routing:\n    {routing}")[1]]


def test_the_documented_configuration_is_understood() -> None:
    """Everything that the reference shows of a site is accepted and arrives typed."""
    sites, problems = checked(SITE)
    assert problems == []
    site = sites["my_site"]
    assert (site.port, site.listen, site.log_exceptions, site.debug.allow) == (
        "8080",
        "tcp:1234",
        "debug",
        ["localhost"],
    )
    assert site.routing.options.processor == "processor_name"
    assert site.routing.children["sparse"].options.no_resource_processor == "sparse_processor"
    foo = site.routing.children["js"].children["foo"].options
    assert (foo.static.path, list(foo.static.preprocessors)) == ("~/js/foo", ["cache-control"])


def test_every_processor_of_a_routing_is_a_reference_with_its_place() -> None:
    """A processor that does not exist can be told at the place where it is written."""
    reading = read(SITE, "site.yml", {})
    checker = Checker({})
    checker.value(dict[str, SiteOptions], reading.root, owner="web")
    places = {str(reference): str(reference.where) for reference in checker.references}
    assert places["another_processor_name"] == "site.yml:17:28"
    assert places.keys() == {"processor_name", "another_processor_name", "sparse_processor", "pipeline.foo"}


def test_a_port_may_come_from_the_environment() -> None:
    """`port: ${PORT}` is filled in, and still checked."""
    text = "s:\n  port: ${PORT}\n  routing: {}"
    assert checked(text, PORT="8081")[0]["s"].port == "8081"
    assert "70000 is no port" in str(checked(text, PORT="70000")[1][0])


@pytest.mark.parametrize(
    ("routing", "told"),
    [
        (
            "__config__: {oricessir: foo}",
            "site.yml:3:18: __config__ has no option 'oricessir' – did you mean 'processor'?",
        ),
        (
            "a: foo",
            "site.yml:3:8: a routing must be a mapping of path segments, not 'foo'"
            " – settings of a path stand below `__config__:`",
        ),
        (
            "a: [foo]",
            "site.yml:3:8: a routing must be a mapping of path segments, not a list",
        ),
        (
            "b: {__config__: {static: x, concatenated: {file_paths: [], content_type: a/b}}}",
            "site.yml:3:9: static and concatenated exclude each other at one path"
            " – remove one, or move it below a segment of its own",
        ),
        (
            "__config__: {static: {path: x, preprocessors: {p: 'request request'}}}",
            "site.yml:3:64: option 'p' of __config__.static.preprocessors is no Python: invalid syntax",
        ),
        (
            "api/v1: {}",
            "site.yml:3:5: 'api/v1' is no segment of a path: it has a slash – put each segment below the one before it",
        ),
        (
            "'{id': {}",
            "site.yml:3:5: '{id' is neither a parameter nor a plain segment"
            ' – a parameter is a whole segment, such as "{name}"',
        ),
        (
            "{'{id}': {}, '{name}': {}}",
            "site.yml:3:18: '{name}' and '{id}' stand for the same segment"
            " – use one name, and put what is below both together",
        ),
        (
            "{'{id}': {a: {'{id}': {}}}}",
            "site.yml:3:19: '{id}' is a parameter of a segment before it, too – give it a name of its own",
        ),
        (
            "__config__: {processor: x, methods: [get]}",
            "site.yml:3:5: __config__: 'get' is no method – write it in capitals, such as GET",
        ),
        (
            "__config__: {processor: x, methods: []}",
            "site.yml:3:5: __config__: `methods` is empty, so that nothing answers – name one, or leave it out",
        ),
        (
            "__config__: {static: x, methods: [GET]}",
            "site.yml:3:5: __config__: `methods` is a list, and there is no processor that it is for"
            " – add `processor`, or leave it out: files answer GET and HEAD",
        ),
        (
            "__config__: {static: {path: x, namespace: {now: datetime.nothing}}}",
            "site.yml:3:18: __config__.static: cannot find 'datetime.nothing'",
        ),
    ],
)
def test_a_mistake_in_a_routing_is_told_at_its_place(routing: str, told: str) -> None:
    """Every mistake of a routing, however deep, has its place and something to do about it."""
    [problem] = problems_of(routing)
    assert problem.startswith(told)


def test_a_key_that_is_not_there_is_told() -> None:
    """Who has written the right endpoint is not told to write another one."""
    _, [problem] = checked("a:\n  listen: ssl:1:privateKey=/nowhere/key.pem\n  routing: {}\n")
    assert str(problem).endswith(
        "no such file or directory – put the key and the certificate there, or write where they are"
    )


def test_all_mistakes_are_told_at_once() -> None:
    """A person repairs a site in one round."""
    text = """\
s:
  port: tcp:70000
  log_exceptions: loud
  debug: {}
  rooting: {}
  routing:
    a: 1
    b: {__config__: {foo: bar}}
"""
    _, problems = checked(text)
    assert [str(problem.where) for problem in problems] == [
        "site.yml:2:9",
        "site.yml:3:19",
        "site.yml:4:3",
        "site.yml:5:3",
        "site.yml:7:8",
        "site.yml:8:22",
    ]


@pytest.mark.parametrize("level", ["null", "~", "Error", "WARN"])
def test_a_level_of_the_log_is_written_in_any_case(level: str) -> None:
    """The level may be written in capitals, and null turns the line off."""
    sites, problems = checked(f"s:\n  log_exceptions: {level}\n  routing: {{}}")
    assert problems == []
    assert sites["s"].log_exceptions in (None, "error", "warn")


def test_a_routing_is_needed() -> None:
    """A site without routing is a mistake of its own, told at its name."""
    _, [problem] = checked("s:\n  port: 80")
    assert str(problem).startswith("site.yml:1:1: web.s needs the option 'routing'")


def test_an_endpoint_of_systemd_is_not_looked_for_while_checking() -> None:
    """A socket that systemd will hand over is no mistake on the machine where the configuration is checked."""
    assert checked("s:\n  listen: systemd:domain=INET:index=0\n  routing: {}")[1] == []
