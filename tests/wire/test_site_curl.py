"""A site as curl sees it."""

import subprocess

import pytest
from commands import EXAMPLES, Running

SITE = """\
web:
  site:
    port: 0
    routing:
      __config__: {processor: hello, methods: [GET]}
      files: {__config__: {static: files}}
pipelines:
  hello: [write-web-response: {fallback_content: "hello\\n", content_type: text/plain}]
"""


def curl(*arguments, given=None):
    """What curl prints, which fails where it cannot make sense of an answer."""
    command = ["curl", "--silent", "--show-error", "--max-time", "20", *arguments]
    done = subprocess.run(command, input=given, capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


@pytest.fixture(scope="module")
def site(tmp_path_factory, channel):
    """The address of a site with a pipeline and a folder of files."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "files").mkdir()
    (folder / "files" / "letters.txt").write_text("abcdefghij")
    (folder / "site.yaml").write_text(SITE)
    with Running("site.yaml", "-O", f"web.site.channel:{channel}", cwd=folder) as running:
        yield running.url("")


@pytest.mark.parametrize("version", ["--http1.1", "--http1.0"])
def test_a_page(site, version):
    """GET gives the page, HEAD its headers, and other methods learn which there are."""
    assert curl(version, f"{site}/") == "hello\n"
    assert "content-length: 6" in curl(version, "--head", f"{site}/").lower()
    refused = curl(version, "--include", "--request", "DELETE", f"{site}/").lower()
    assert (" 405 " in refused.splitlines()[0], "allow: get, head, options" in refused) == (True, True)


def test_several_pages_over_one_connection(site):
    """A connection is kept open, and a page that is still fresh is not sent again."""
    address = f"{site}/files/letters.txt"
    assert curl("--write-out", "%{num_connects} ", address, address) == "abcdefghij1 abcdefghij0 "
    etag = next(line for line in curl("--head", address).splitlines() if line.lower().startswith("etag:"))
    fresh = curl("--write-out", "%{http_code}", "--header", f"If-None-Match: {etag[5:].strip()}", address)
    assert fresh == "304"
    assert curl("--range", "2-4", "--write-out", " %{http_code}", address) == "cde 206"


def test_forms_and_files_are_sent(tmp_path):
    """What curl's -d and -F send reaches a pipeline, also when curl asks first whether it may."""
    large = tmp_path / "large.bin"
    large.write_bytes(b"x" * 3_000_000)
    with Running(EXAMPLES / "forms.yaml", "-O", "web.forms.port:0", cwd=tmp_path) as running:
        site = running.url("")
        assert curl("--data", '{"numbers": [1, 2]}', f"{site}/sum") == '{"sum": 3}'
        greeted = curl(
            "--form", "name=Ada", "--form", f"photo=@{large}", "--header", "Expect: 100-continue", f"{site}/greet"
        )
        assert "Hello, Ada!" in greeted
        assert "large.bin, of 3000000 bytes" in greeted
        too_large = curl(
            "--form",
            "photo=@-",
            "--output",
            "-",
            "--write-out",
            "%{http_code}",
            f"{site}/greet",
            given=b"x" * 21_000_000,
        )
        assert too_large.endswith("413")
