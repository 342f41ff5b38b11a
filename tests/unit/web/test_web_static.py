"""Files and directories of a site."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from web_stage import Client, parsed

from piped.ground.code import Lambda
from piped.web import replies
from piped.web.request import Request
from piped.web.routing import text_segments
from piped.web.static import StaticFiles, locate

pytestmark = pytest.mark.usefixtures("each_channel")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """site/ with files, and beside it what must never be served."""
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "site-secret").mkdir()
    (tmp_path / "site-secret" / "x").write_text("secret")
    site = tmp_path / "site"
    (site / "sub" / "deep").mkdir(parents=True)
    (site / "with-index").mkdir()
    (site / ".hidden").mkdir()
    (site / "a.txt").write_text("0123456789")
    (site / "sub" / "b.css").write_text("b")
    (site / "sub" / "<i>&.x").write_text("odd")
    (site / "with-index" / "index.html").write_text("<p>index</p>")
    (site / ".env").write_text("secret")
    (site / ".hidden" / "x").write_text("secret")
    for name, target in {
        "inside": "sub",
        "outside": "..",
        "to-secret": "../secret.txt",
        "to-sibling": "../site-secret",
        "to-hidden": ".env",
        "nowhere": "none",
    }.items():
        (site / name).symlink_to(target)
    return site


def ask(files: StaticFiles, target: str = "/", *headers: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """The response to a request below /; its end too, which files are sent in parts."""

    def answer(request: Request) -> None:
        request.postpath = text_segments(request.postpath)
        if not files(request):
            replies.no_such_resource(request)

    client = Client(answer)
    client.get(target, *headers, method=method)
    while (pull_to_push := client.channel._requestProducer) is not None:
        pull_to_push._producer.resumeProducing()
    return parsed(client.transport.value())


def test_a_file_is_sent_with_its_type_and_length(tree: Path) -> None:
    """GET of a file gives its bytes, its type by its ending, and when it was changed."""
    code, headers, body = ask(StaticFiles(str(tree)), "/sub/b.css")
    assert (code, headers["content-type"], headers["content-length"], body) == (200, "text/css", "1", b"b")
    assert "last-modified" in headers


def test_a_single_file_may_be_served(tree: Path) -> None:
    """`static` may name a file; there is nothing below it."""
    files = StaticFiles(str(tree / "a.txt"))

    def answer(request: Request) -> None:
        request.postpath = text_segments(request.postpath)[1:]
        found.append(files(request))
        request.finish()

    found: list[bool] = []
    for path in ("/x", "/x/", "/x/a.txt"):
        Client(answer).get(path, method="HEAD")
    assert found == [True, False, False]


@pytest.mark.parametrize(
    "target",
    [
        "/none",
        "/a.txt/",
        "/a.txt/b",
        "/sub/none/",
        "/.env",
        "/.hidden/x",
        "/.hidden/",
        "/sub/../a.txt",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/sub%2fb.css",
        "/..%5csecret.txt",
        "/a.txt%00.html",
        "/outside/secret.txt",
        "/outside/",
        "/to-secret",
        "/to-sibling/x",
        "/to-hidden",
        "/nowhere",
        "//a.txt",
        "/sub//b.css",
        "/" + 300 * "x",
        "/%ff",
    ],
)
def test_what_is_not_in_the_tree_is_not_there(tree: Path, target: str) -> None:
    """Hidden files, links that lead out, encoded slashes and dots are 404 like any file that does not exist."""
    assert ask(StaticFiles(str(tree)), target)[0] == 404


def test_a_link_within_the_tree_is_followed(tree: Path) -> None:
    """A link to another file of the same tree is served."""
    assert ask(StaticFiles(str(tree)), "/inside/b.css")[2] == b"b"


@given(st.lists(st.text(), max_size=4))
def test_no_names_lead_out_of_a_tree(names: list[str]) -> None:
    """Whatever names a client makes up, what is found lies below the root and is not hidden."""
    root = os.path.dirname(__file__)
    found = locate(root, names)
    assert found is None or os.path.commonpath((root, found)) == os.path.realpath(root)
    assert locate(root, [*names, ".."]) is None


def test_a_directory_is_left_to_its_own_address(tree: Path) -> None:
    """A directory without its slash is redirected, the query is kept."""
    code, headers, body = ask(StaticFiles(str(tree)), "/sub?a=b")
    assert (code, headers["location"], body) == (302, "/sub/?a=b", b"")


def test_nobody_is_sent_to_another_site(tree: Path) -> None:
    """Browsers take a backslash for a slash, and two slashes for the name of a host."""

    def answer(request: Request) -> None:
        request.postpath = []
        StaticFiles(str(tree))(request)

    client = Client(answer)
    client.get("/\\example.org?q=1")
    assert parsed(client.transport.value())[1]["location"] == "/%5Cexample.org/?q=1"


def test_a_directory_shows_its_index(tree: Path) -> None:
    """A directory with an index.html shows that."""
    assert ask(StaticFiles(str(tree)), "/with-index/")[2] == b"<p>index</p>"


def test_a_directory_is_listed(tree: Path) -> None:
    """A directory without index lists what a client could get, links written safely."""
    code, headers, body = ask(StaticFiles(str(tree)), "/")
    assert (code, headers["content-type"]) == (200, "text/html; charset=utf-8")
    listed = body.decode()
    assert '<a href="./a.txt">a.txt</a>' in listed
    assert '<a href="./sub/">sub/</a>' in listed
    assert not any(name in listed for name in (".env", "hidden", "outside", "secret", "nowhere", "sibling"))
    assert '<a href="./%3Ci%3E%26.x">&lt;i&gt;&amp;.x</a>' in ask(StaticFiles(str(tree)), "/sub/")[2].decode()


def test_a_directory_is_not_listed_when_that_is_unwanted(tree: Path) -> None:
    """With `listing: false` a directory without index is not there."""
    files = StaticFiles(str(tree), listing=False)
    assert ask(files, "/")[0] == 404
    assert ask(files, "/with-index/")[0] == 200


def test_endings_may_be_left_out(tree: Path) -> None:
    """`ignoredExts` lets a client ask for a.txt by a; "*" stands for any ending."""
    assert ask(StaticFiles(str(tree)), "/a")[0] == 404
    assert ask(StaticFiles(str(tree), ignored_extensions=[".css", ".txt"]), "/a")[0] == 200
    assert ask(StaticFiles(str(tree), ignored_extensions=["*"]), "/a")[0] == 200
    assert ask(StaticFiles(str(tree), ignored_extensions=[".css", "*"]), "/a")[0] == 200
    for target in ("/.e", "/none", "/none/a", "/a.txt/b", "/outside/secret"):
        assert ask(StaticFiles(str(tree), ignored_extensions=["*"]), target)[0] == 404


def test_a_type_for_files_whose_ending_says_nothing(tree: Path) -> None:
    """`defaultType` is the type of files of unknown kind."""
    (tree / "odd").write_text("x")
    assert ask(StaticFiles(str(tree)), "/odd")[1]["content-type"] == "text/html"
    assert ask(StaticFiles(str(tree), default_type="text/plain"), "/odd")[1]["content-type"] == "text/plain"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_preprocessors_are_called_in_order_before_a_file_is_sent(tree: Path, method: str) -> None:
    """Preprocessors see the request, their namespace and the file as `self`; for GET and HEAD, not for directories."""
    texts = ["request: request.setHeader('x', word)", "request: request.setHeader('x', self.basename())"]
    files = StaticFiles(str(tree), preprocessors=[Lambda(text).compile() for text in texts], namespace={"word": "w"})
    _, headers, body = ask(files, "/a.txt", method=method)
    assert (headers["x"], headers["content-length"]) == ("a.txt", "10")
    assert body == (b"0123456789" if method == "GET" else b"")
    assert "x" not in ask(files, "/sub/")[1]


def test_a_preprocessor_may_answer_by_itself(tree: Path) -> None:
    """Where a preprocessor has sent the client elsewhere, the file is left alone."""
    texts = ["request: request.redirect(b'/elsewhere') or request.answer(b'')", "request: 1 / 0"]
    files = StaticFiles(str(tree), preprocessors=[Lambda(text).compile() for text in texts])

    def answer(request: Request) -> None:
        request.postpath = text_segments(request.postpath)
        assert files(request)

    client = Client(answer)
    client.get("/a.txt")
    code, headers, body = parsed(client.transport.value())
    assert (code, headers["location"], body) == (302, "/elsewhere", b"")


def test_a_file_is_only_read(tree: Path) -> None:
    """Other methods than GET and HEAD are 405, for what there is."""
    assert ask(StaticFiles(str(tree)), "/a.txt", method="POST")[0] == 405
    assert ask(StaticFiles(str(tree)), "/none", method="POST")[0] == 404


@pytest.mark.parametrize(
    ("wanted", "code", "content"),
    [
        ("bytes=2-4", 206, b"234"),
        ("bytes=8-", 206, b"89"),
        ("bytes=8-100", 206, b"89"),
        ("bytes=-3", 206, b"789"),
        ("bytes=-100", 206, b"0123456789"),
        ("bytes=20-", 416, b""),
        ("bytes=0-1,3-4", 200, b"0123456789"),
        ("bytes=4-2", 200, b"0123456789"),
        ("lines=1-2", 200, b"0123456789"),
        ("bytes=" + "9" * 5000 + "-", 200, b"0123456789"),
    ],
)
def test_a_part_of_a_file_can_be_asked_for(tree: Path, wanted: str, code: int, content: bytes) -> None:
    """One range of a file is sent as such; several at once, or nonsense, give the whole file."""
    got, headers, body = ask(StaticFiles(str(tree)), "/a.txt", f"Range: {wanted}")
    assert (got, body) == (code, content)
    assert headers["content-length"] == str(len(content))


def test_a_part_on_condition_is_of_the_same_version(tree: Path) -> None:
    """If-Range gives the part of the version that the client has, and otherwise the whole file."""
    files = StaticFiles(str(tree))
    tag = ask(files, "/a.txt")[1]["etag"]
    assert ask(files, "/a.txt", "Range: bytes=1-2", f"If-Range: {tag}")[::2] == (206, b"12")
    assert ask(files, "/a.txt", "Range: bytes=1-2", 'If-Range: "x"')[::2] == (200, b"0123456789")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file_that_has_not_changed_is_not_sent_again(tree: Path, method: str) -> None:
    """A client that has the present version is told 304, by its tag and by its time."""
    files = StaticFiles(str(tree))
    _, headers, _ = ask(files, "/a.txt", method=method)
    for line in (f"If-None-Match: {headers['etag']}", f"If-Modified-Since: {headers['last-modified']}"):
        code, told, body = ask(files, "/a.txt", line, method=method)
        assert (code, "content-length" in told, body) == (304, False, b"")
        assert (told["etag"], told["last-modified"]) == (headers["etag"], headers["last-modified"])


def test_the_tag_counts_more_than_the_time(tree: Path) -> None:
    """A file that was replaced by an older one of the same name is sent, whatever its time says."""
    files = StaticFiles(str(tree))
    _, headers, _ = ask(files, "/a.txt")
    (tree / "a.txt").write_text("older")
    os.utime(tree / "a.txt", (1e9, 1e9))
    known = f"If-None-Match: {headers['etag']}", f"If-Modified-Since: {headers['last-modified']}"
    assert ask(files, "/a.txt", known[1])[0] == 304
    assert ask(files, "/a.txt", *known)[::2] == (200, b"older")


def test_files_tell_their_methods(tree: Path) -> None:
    """OPTIONS is answered with the methods of files."""
    code, headers, _ = ask(StaticFiles(str(tree)), "/a.txt", method="OPTIONS")
    assert (code, headers["allow"]) == (204, "GET, HEAD, OPTIONS")


def test_what_is_no_file_is_never_opened(tree: Path) -> None:
    """A named pipe in a directory is not served: reading it would block the whole process."""
    os.mkfifo(tree / "pipe")
    assert ask(StaticFiles(str(tree)), "/pipe")[0] == 404
