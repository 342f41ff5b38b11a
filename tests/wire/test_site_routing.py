"""Which path of a site leads where: what the documents say, over the wire."""

import pytest
from commands import EXAMPLES, Running, piped
from sockets import ask

#: The example of the documentation, with a processor where it has a typing error.
DOCUMENTED = """\
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
          static: ./js
        foo:
          __config__:
            processor: foo_processor
            static:
              path: ./js/foo
              namespace:
                now: datetime.datetime.utcnow
                delta: datetime.timedelta
              preprocessors:
                expires: "request: request.setHeader('expires', (now()+delta(seconds=8600)).strftime(\
'%a, %d %b %Y %H:%M:%S UTC'))"
                cache-control: "request: request.setHeader('cache-control', 'public,max-age=8600')"
"""
#: A place for each line of the table of resolution, below /r.
TABLE = """\
      r:
        proc:
          __config__: {processor: proc}
          below: {__config__: {processor: below}}
        empty:
          inner: {__config__: {processor: inner}}
        nrp:
          __config__: {no_resource_processor: nrp}
          empty: {deeper: {}}
          known: {__config__: {processor: known}}
          nearer: {__config__: {no_resource_processor: nearer}}
        both: {__config__: {processor: both, no_resource_processor: both-rest}}
        files:
          __config__: {static: ./js}
          bar.js: {__config__: {processor: bar}}
        files-or-rest: {__config__: {static: ./js, no_resource_processor: files-rest}}
        all.js: {__config__: {concatenated: {file_paths: [js/bar.js, js/foo/foo.js], content_type: text/javascript}}}
        item:
          __config__: {processor: items}
          new: {__config__: {processor: new-item}}
          "{id}":
            __config__: {methods: {GET: item, DELETE: no-item}}
            part: {"{part}": {__config__: {processor: item-part, methods: [POST]}}}
        "sp ace ø": {__config__: {processor: odd}}
"""
NAMES = (
    "processor_name another_processor_name sparse_processor foo_processor proc below inner nrp known nearer both"
    " both-rest bar files-rest items new-item item no-item item-part odd"
)
PIPELINE = """\
  {name}:
    - eval-lambda:
        lambda: "baton: ' '.join(['{name}', str(baton['request'].postpath), str(baton.get('params', ''))]).strip()"
        output_path: content
    - write-web-response
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory, channel):
    folder = tmp_path_factory.mktemp("routing")
    (folder / "js" / "foo").mkdir(parents=True)
    (folder / "js" / "bar.js").write_text("bar;")
    (folder / "js" / "foo" / "foo.js").write_text("foo;")
    site = "web:\n  my_site:\n    port: 0\n    routing:\n" + DOCUMENTED + TABLE
    (folder / "site.yaml").write_text(site + "pipelines:\n" + "".join(PIPELINE.format(name=n) for n in NAMES.split()))
    with Running("site.yaml", "-O", f"web.my_site.channel:{channel}", cwd=folder) as running:
        yield running.url("")
        assert running.stop() == 0
        assert "Traceback" not in running.log


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        # the documented example
        ("/", "processor_name []"),
        ("/nested", "another_processor_name []"),
        ("/nested/", "another_processor_name []"),
        ("/sparse", "sparse_processor []"),
        ("/sparse/", "sparse_processor ['']"),
        ("/sparse/some/path", "sparse_processor ['some', 'path']"),
        ("/js/bar.js", "bar;"),
        ("/js/foo", "foo_processor []"),
        ("/js/foo/", "foo_processor []"),
        ("/js/foo/foo.js", "foo;"),
        # path to a node with a processor, and to one without any configuration
        ("/r/proc", "proc []"),
        ("/r/proc/?a=/b", "proc []"),
        ("/r/proc/below/", "below []"),
        ("/r/proc/none", 404),
        ("/r/proc//", 404),
        ("/r/empty", 404),
        ("/r/empty/", 404),
        ("/r/empty/inner", "inner []"),
        ("/none", 404),
        # such a node, or an unknown one, below a no_resource_processor
        ("/r/nrp/empty", "nrp ['empty']"),
        ("/r/nrp/empty/", "nrp ['empty', '']"),
        ("/r/nrp/empty/deeper/x", "nrp ['empty', 'deeper', 'x']"),
        ("/r/nrp/known", "known []"),
        ("/r/nrp/known/x", "nrp ['known', 'x']"),
        ("/r/nrp/nearer/x/", "nearer ['x', '']"),
        ("/r/nrp/a%2Fb/%E2%82%AC/%2e%2e", "nrp ['a/b', '€', '..']"),
        ("/r/both", "both []"),
        ("/r/both/", "both []"),
        ("/r/both/x", "both-rest ['x']"),
        # files
        ("/r/files/bar.js", "bar []"),
        ("/r/files/none", 404),
        ("/r/files/foo/foo.js", "foo;"),
        ("/r/files-or-rest/bar.js", "bar;"),
        ("/r/files-or-rest/none/", "files-rest ['none', '']"),
        ("/r/all.js", "bar;foo;"),
        ("/r/all.js/x", 404),
        # parameters
        ("/r/item/", "items []"),
        ("/r/item/17", "item [] {'id': '17'}"),
        ("/r/item/new", "new-item []"),
        ("/r/item/new/part/1", 404),
        ("/r/item/a%2Fb%20%C3%B8", "item [] {'id': 'a/b ø'}"),
        ("/r/item/17/part/2", 405),
        ("/r/sp%20ace%20%c3%b8", "odd []"),
        ("/r/sp%20ace%2F%c3%b8", 404),
        ("http://elsewhere/nested", "another_processor_name []"),
    ],
)
def test_a_path_is_answered_as_documented(url, path, answer):
    """Every line of the documented table of resolution is so, and the documented example does what it says."""
    reply = ask(url, path)
    assert (reply.code if isinstance(answer, int) else reply.body.decode()) == answer


def test_files_of_the_documented_example_have_its_headers(url):
    """The preprocessors of the example set the headers of files, and of nothing else."""
    reply = ask(url, "/js/foo/foo.js")
    assert reply.headers["cache-control"] == "public,max-age=8600"
    assert reply.headers["expires"].endswith(" UTC")
    assert "cache-control" not in ask(url, "/js/bar.js").headers
    listing = ask(url, "/js/")
    assert (listing.code, b">bar.js</a>" in listing.body, b">foo/</a>" in listing.body) == (200, True, True)
    assert ask(url, "/js").headers["location"] == "/js/"


def test_methods_are_answered_as_the_routing_says(url):
    """A method that a path does not take is 405, with those that it takes."""
    answers = {method: ask(url, "/r/item/17", method=method) for method in ("GET", "HEAD", "DELETE", "PUT", "OPTIONS")}
    assert {method: reply.code for method, reply in answers.items()} == {
        "GET": 200,
        "HEAD": 200,
        "DELETE": 200,
        "PUT": 405,
        "OPTIONS": 204,
    }
    assert answers["HEAD"].headers["content-length"] == answers["GET"].headers["content-length"]
    assert answers["PUT"].headers["allow"] == answers["OPTIONS"].headers["allow"] == "GET, DELETE, HEAD, OPTIONS"
    assert ask(url, "/r/item/1/part/2", method="POST").body == b"item-part [] {'id': '1', 'part': '2'}"


def test_the_mistakes_of_a_routing_are_told_before_it_runs(tmp_path):
    """Two names for one parameter, the typing error of the example, and a method that is none: each with its place."""
    (tmp_path / "site.yaml").write_text("""\
web:
  site:
    routing:
      nested: {__config__: {oricessir: hello}}
      a: {"{id}": {}, "{name}": {}}
      b: {__config__: {processor: hello, methods: [get]}}
pipelines:
  hello: [nothing]
""")
    done = piped("check", "site.yaml", cwd=tmp_path)
    assert done.returncode == 78
    assert "site.yaml:4:29: __config__ has no option 'oricessir' – did you mean 'processor'?" in done.stderr
    assert "site.yaml:5:23: '{name}' and '{id}' stand for the same segment" in done.stderr
    assert "site.yaml:6:11: __config__: 'get' is no method – write it in capitals, such as GET" in done.stderr


def test_the_example_of_a_site_does_what_it_says(tmp_path, monkeypatch):
    """Notes are kept, read, listed and forgotten; the log has a line for each request."""
    monkeypatch.setenv("PORT", "0")
    with Running(EXAMPLES / "web.yaml", cwd=tmp_path) as running:
        url = running.url("")
        assert ask(url, "/notes/a%20b", "Content-Length: 0", method="PUT").code == 204
        assert ask(url, "/notes").body == b"a b\n"
        assert ask(url, "/notes/a%20b", method="HEAD").code == 200
        assert ask(url, "/notes/a%20b", method="POST").headers["allow"] == "GET, PUT, DELETE, HEAD, OPTIONS"
        assert ask(url, "/notes/a%20b", method="DELETE").code == 204
        assert [ask(url, path).code for path in ("/notes/a%20b", "/old/x", "/files/", "/none")] == [404, 410, 200, 404]
        assert '"GET /none HTTP/1.1" 404' in running.wait_for("/none")


def test_the_site_of_the_documentation_answers(tmp_path):
    """What docs/web.md shows first runs as it stands, but for the port."""
    text = (EXAMPLES.parent / "docs" / "web.md").read_text()
    (tmp_path / "site.yaml").write_text(text.split("```yaml\n")[1].split("```")[0])
    (tmp_path / "js").mkdir()
    with Running("site.yaml", "-O", "web.my_site.port:0", cwd=tmp_path) as running:
        assert ask(running.url(""), "/").body == b"Piped says hello."
        assert ask(running.url(""), "/users/17").body == b"user 17"
        assert ask(running.url(""), "/js/").code == 200
