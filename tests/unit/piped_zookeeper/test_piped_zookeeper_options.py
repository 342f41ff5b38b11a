"""Tests of what may be written in the section `zookeeper`, and of what is said about the rest."""

from __future__ import annotations

import textwrap

import pytest

from piped.config.gathering import gather_text
from piped.runtime.assembly import check
from piped_zookeeper.options import ZookeeperOptions


def problems_of(section: str, more: str = "") -> list[str]:
    text = f"zookeeper:\n{textwrap.indent(textwrap.dedent(section), '  ')}\n{textwrap.dedent(more)}"
    return [str(problem) for problem in check(gather_text(text, "site.yml", environ={}), {}).problems]


def options_of(client: str) -> ZookeeperOptions:
    assembly = check(gather_text(f"zookeeper: {{clients: {{main: {client}}}}}", "site.yml", environ={}), {})
    assert assembly.problems == []
    [options] = [options for options in assembly.options.values() if isinstance(options, ZookeeperOptions)]
    return options


@pytest.mark.parametrize(
    ("written", "hosts"),
    [
        ("localhost", "localhost:2181"),
        ("a:1, b:2/v1", "a:1,b:2/v1"),
        ('["a:1/v1/x", "b:2/v1/x"]', "a:1,b:2/v1/x"),
        ('["a:1", "b,c:3/v1"]', "a:1,b:2181,c:3/v1"),
        ("a:1/", "a:1"),
        ('"[::1]:2181"', "[::1]:2181"),
    ],
)
def test_servers_are_written_as_text_or_as_a_list(written, hosts):
    """Servers are host and port, several with commas or as a list, with the root behind one or all of them."""
    written = written if written.startswith(("[", '"')) else f'"{written}"'
    assert options_of(f"{{servers: {written}}}").clients["main"].servers.hosts == hosts


@pytest.mark.parametrize(
    ("client", "said"),
    [
        ('{servers: "found+http://x/y?namespace=/x"}', "not found by HTTP any more – name them"),
        ('{servers: "zk://a:1"}', "not written as a URL"),
        ('{servers: ["a/x", "b/y"]}', "one root, and not 2: /x, /y"),
        ('{servers: "a:99999"}', "no port from 1 to 65535"),
        ('{servers: "a,,b"}', "'' is no server"),
        ("{servers: []}", "at least one server"),
        ('{servers: "a/../b"}', "a dot, or two dots"),
        ("{servers: a, events: {conected: p}}", "did you mean 'connected'?"),
        ("{servers: a, default_acls: []}", "write default_encoded_acls"),
        ("{servers: a, default_encoded_acls: [{scheme: world, perms: 64}]}", "from 1 to 31"),
        ("{servers: a, default_encoded_acls: [{scheme: world, perms: raed}]}", "'read'"),
        ("{servers: a, session_timeout: 0}", "above 0"),
        ("{servers: a, auth: [{scheme: digest}]}", "a scheme and an identity"),
    ],
)
def test_mistakes_are_told_with_what_to_write(client, said):
    """What cannot be is told at its place, with what to write instead."""
    [problem] = problems_of(f"clients: {{main: {client}}}")
    assert problem.startswith("site.yml:2:")
    assert said in problem


@pytest.mark.parametrize("auth", ["geheim", "[geheim]", "[{scheme: digest, geheim: x}]", "[[geheim]]"])
def test_a_secret_is_never_shown(auth):
    """What is wrong with `auth` is told without what stands there."""
    problems = problems_of(f"clients: {{main: {{servers: a, auth: {auth}}}}}")
    assert problems
    assert "geheim" not in "".join(problems)


@pytest.mark.parametrize(
    "auth",
    ["'digest:a:b,ip:c'", "['digest:a:b', {scheme: ip, identity: c}]", "[{scheme: digest, identity: 'a:b'}, 'ip:c']"],
)
def test_who_the_client_is_may_be_written_in_several_ways(auth):
    """A text with commas, and a list of texts or mappings, mean the same; it is not shown where it is printed."""
    found = options_of(f"{{servers: a, auth: {auth}}}").clients["main"].auth
    assert tuple(found) == (("digest", "a:b"), ("ip", "c"))
    assert repr(found) == "<Auth digest, ip>"


def test_leaders_need_a_client_and_a_path():
    """A leader names a client that there is, and a node below the root."""
    [problem] = problems_of("{clients: {main: {servers: a}}, leaders: {x: {client: mian, path: /x}}}")
    assert "did you mean" in problem
    for path in ("/", "x", "/a//b"):
        [problem] = problems_of(f"{{clients: {{main: {{servers: a}}}}, locks: {{x: {{client: main, path: {path}}}}}}}")
        assert "slash" in problem or "node" in problem


def test_steps_name_what_there_is():
    """A step whose client or leader is not there, and one whose path or flags cannot be, is a problem at its place."""
    problems = problems_of(
        "{clients: {main: {servers: a}}, leaders: {office: {client: main, path: /o}}}",
        """
        pipelines:
          p:
            - get-zookeeper-data: {client: other, path: /a}
            - require-leadership: {leader: ofice}
            - create-zookeeper-node: {client: main, path: /a, flags: [EPHEMERAL, 2, SEQUENCE]}
        """,
    )
    assert [problem.partition(": ")[0] for problem in problems] == ["site.yml:6:36", "site.yml:7:36"]
    for step in ("{client: main, path: a}", "{client: main, path: /a, flags: 4}", "{client: main, path: /a, flags: X}"):
        [problem] = problems_of("{clients: {main: {servers: a}}}", f"pipelines: {{p: [create-zookeeper-node: {step}]}}")
        assert "create-zookeeper-node" in problem
