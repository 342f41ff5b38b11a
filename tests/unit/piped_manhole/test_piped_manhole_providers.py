"""ManholeProvider: what may be written, and what the prompt sees."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.conch.ssh.keys import Key

from piped.app.loading import Settings, catalog_of
from piped.config.gathering import gather_text
from piped.runtime.assembly import check
from piped.testing import Stage
from piped_manhole.providers import Manhole, ManholeProvider, fingerprint

CHECKERS = """
    checkers:
      inmemory:
        checker: twisted.cred.checkers.InMemoryUsernamePasswordDatabaseDontUse
        arguments: {ada: sesame}
"""


def problems_of(section: str, environ: dict[str, str] | None = None) -> list[str]:
    text, environ = f"manholes:\n  main:\n{section}", environ or {}
    return [str(problem) for problem in check(gather_text(text, "site.yml", environ=environ), environ).problems]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run directory, with a key of the host, one of a user, and files that are none."""
    monkeypatch.chdir(tmp_path)
    for name in ("host", "ada"):
        key = Key(Ed25519PrivateKey.generate())
        (tmp_path / name).write_bytes(key.toString("OPENSSH"))
        public = tmp_path / f"{name}.pub"
        public.write_bytes(key.public().toString("OPENSSH"))
        public.chmod(0o644)
    (tmp_path / "junk").write_text("junk")
    (tmp_path / "empty").write_text("# nobody yet\n")
    (tmp_path / "empty").chmod(0o644)
    (tmp_path / "open").write_bytes(public.read_bytes())
    (tmp_path / "open").chmod(0o664)
    return tmp_path


@pytest.mark.parametrize(
    "section",
    [
        CHECKERS,
        "    enabled: false",
        "    authorized_keys: {ada: ada.pub}",
        "    authorized_keys: {ada: [ada.pub, host.pub]}\n    keys: {private_key_file: host}",
        "    keys: {private_key_file: host, public_key_file: !filepath host.pub}" + CHECKERS,
        "    keys: {private_key: '${KEY}'}" + CHECKERS,
        "    listen: 'tcp:10022:interface=0.0.0.0'\n    checkers: {unix: {checker: "
        "twisted.conch.checkers.UNIXAuthorizedKeysFiles}}",
        "    checkers: {unix: twisted.conch.checkers.UNIXAuthorizedKeysFiles}",
    ],
)
def test_what_may_be_written(section: str, folder: Path) -> None:
    """Everything of the documentation, in its short forms too."""
    assert problems_of(section, {"KEY": (folder / "host").read_text()}) == []


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ("    port: 10022", "site.yml:2:3: manholes.main: nobody can log in: there are no checkers and no authorized"),
        ("    checkers: {a: {checker: nowhere.Checker}}", "site.yml:3:29: option 'checker' of a checker: cannot"),
        ("    checkers: {a: {checker: builtins.dict}}", "site.yml:3:29: the checker builtins.dict cannot be used"),
        ("    checkers: {a: {}}", "site.yml:3:16: a checker needs the option 'checker'"),
        ("    keys: {private_key_file: nowhere}" + CHECKERS, "site.yml:3:30: option 'private_key_file' of the keys of a"
         " manhole: there is no file nowhere"),
        ("    keys: {private_key_file: .}" + CHECKERS, "site.yml:3:30: option 'private_key_file' of the keys of a"
         " manhole: cannot read .: is a directory"),
        ("    keys: {private_key_file: junk}" + CHECKERS, "site.yml:3:30: option 'private_key_file'"),
        ("    keys: {private_key: secret}" + CHECKERS, "site.yml:3:25: option 'private_key'"),
        ("    keys: {public_key_file: host.pub}" + CHECKERS, "site.yml:3:5: the keys of a manhole have a public key"),
        ("    keys: {private_key_file: host, public_key_file: ada.pub}" + CHECKERS, "site.yml:3:5: the keys of a"
         " manhole: the public key does not belong to the private key"),
        ("    keys: {private_key_file: host, private_key: x}" + CHECKERS, "site.yml:3:5: the keys of a manhole have"
         " both"),
        ("    keys: {privat_key_file: host}" + CHECKERS, "did you mean 'private_key_file'?"),
        ("    authorized_keys: {ada: nowhere}", "site.yml:3:28: the authorized keys in 'nowhere': there is no file"),
        ("    authorized_keys: {ada: [ada.pub, empty]}", "site.yml:3:38: the authorized keys in 'empty': there is no"
         " key in it"),
        ("    authorized_keys: {ada: open}", "site.yml:3:28: the authorized keys in 'open': others may write open:"
         " chmod go-w it"),
        ("    authorized_keys: {ada: ada}", "site.yml:3:28: the authorized keys in 'ada': "),
        ("    port: 70000" + CHECKERS, "site.yml:3:11: 70000 is no port"),
        ("    dependencies: {a: context.nothing}" + CHECKERS, "site.yml:3:23: there is no 'context.nothing'"),
        ("    namespace: {a: nowhere.at.all}" + CHECKERS, "site.yml:3:20:"),
    ],
)  # fmt: skip
def test_mistakes_have_their_places(section: str, told: str, folder: Path) -> None:
    """Each is told once, at check time, without a secret in it."""
    [problem] = problems_of(section)
    assert told in problem
    assert "secret" not in problem


def manhole_of(stage: Stage) -> Manhole:
    [manhole] = stage.environment.application.getServiceNamed("manholes")
    assert isinstance(manhole, Manhole)
    return manhole


def staged(text: str) -> Manhole:
    catalog_of(None, Settings())
    return manhole_of(Stage(text, ManholeProvider))


SITE = f"""
manholes:
  main:
    dependencies: {{store: context.store, double: {{provider: pipeline.double}}}}
    namespace: {{Decimal: decimal.Decimal, answer: 42}}
{CHECKERS}
contexts: {{store: {{a: 1}}}}
pipelines: {{double: [passthrough]}}
"""


def test_the_names_of_the_prompt() -> None:
    """The environment, dependencies, pipelines and what was asked for; each session has them for itself."""
    manhole = staged(SITE)
    first, second = manhole.new_console(), manhole.new_console()
    names: Any = first.namespace
    assert names["runtime_environment"] is manhole.environment
    assert names["d"] is names["dependencies"]
    assert (names["d"].store, names["d"].double) == ({"a": 1}, names["pipelines"]["double"])
    assert (str(names["Decimal"]("0.5")), names["answer"]) == ("0.5", 42)
    first.evaluate("mine = 1", print)
    assert "mine" not in second.namespace


def test_h_says_what_can_be_asked() -> None:
    """Pipelines with what they have done, dependencies with whether they are there, and what runs."""
    output = io.StringIO()
    console = staged(SITE).new_console()
    console.evaluate('_ = pipelines["double"]({}); h()', output.write)
    told = output.getvalue()
    for part in ("runtime_environment, dependencies", "double  1 succeeded, 0 failed", "context.store: ready"):
        assert part in told
    output = io.StringIO()
    console.evaluate("h; exit", output.write)
    assert output.getvalue() == "h() lists what can be asked\nexit() or ctrl-D ends the session\n"


def test_h_says_what_is_missing() -> None:
    """A dependency that is lost has its reason."""
    manhole = staged(SITE)
    manhole.dependencies.get_dependency("store").on_resource_lost("the server is gone")
    output = io.StringIO()
    manhole.new_console().evaluate("h()", output.write)
    assert "store   context.store: waits for context.store (the server is gone)" in output.getvalue()


def test_a_manhole_that_is_disabled_opens_no_port() -> None:
    """Nor does its key have to be there."""
    stage = Stage("manholes: {main: {enabled: false}}", ManholeProvider)
    assert stage.environment.listeners.members == []


def test_a_fingerprint_is_what_ssh_shows() -> None:
    """So that a person can compare."""
    line = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
    assert fingerprint(Key.fromString(line)) == "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"
