"""Files of a site, over the wire: nothing from outside the tree, and no more memory than a file needs on its way."""

import itertools
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from commands import Running
from sockets import Reply, ask, connect

SECRET = "what nobody may read"
SIZE = 1 << 30

SITE = """\
web:
  site:
    port: 0
    routing:
      __config__: {static: tree}
      below:
        files: {__config__: {static: {path: tree, ignoredExts: ["*"], listing: false}}}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory, channel):
    """A running site beside whose tree there is what nobody may read."""
    folder = tmp_path_factory.mktemp("static")
    tree = folder / "tree"
    (tree / "sub" / ".git").mkdir(parents=True)
    (folder / "tree-beside").mkdir()
    for place in (folder, tree / "sub" / ".git", folder / "tree-beside"):
        (place / "secret.txt").write_text(SECRET)
    (tree / ".secret.txt").write_text(SECRET)
    (tree / "a.txt").write_text("0123456789")
    (tree / "sub" / "b.css").write_text("b")
    (tree / "out").symlink_to("..")
    (tree / "sub" / "absolute").symlink_to(folder / "secret.txt")
    with open(tree / "large.bin", "wb") as large:
        large.truncate(SIZE)  # sparse: it takes no room on the disk
        large.seek(SIZE - 4)
        large.write(b"last")
    (folder / "site.yaml").write_text(SITE)
    with Running("site.yaml", "-O", f"web.site.channel:{channel}", cwd=folder) as running:
        running.folder = folder
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.log


def traversals(folder):
    """Paths that try to leave the tree, or to read what is hidden in it."""
    dots = ["..", "%2e%2e", ".%2e", "%252e%252e", "..%00", "%c0%ae%c0%ae", "..;", "....", "%uff0e%uff0e", ". .", "..."]
    slashes = ["/", "%2f", "%5c", "\\", "%c0%af", "//", "/./", "%252f", "/%00/", "/sub/"]
    files = ["secret.txt", ".secret.txt", "tree-beside/secret.txt", "tree/../secret.txt", ".git/secret.txt", "secret"]
    for depth, dot, slash, file in itertools.product((1, 2, 5), dots, slashes, files):
        yield slash.join([dot] * depth + [file])
    absolute = str(folder / "secret.txt")
    for before in ("", "/", "//", "file:", "file://", "%2f", "%5c%5c", "a.txt", "a.txt/", "sub/"):
        yield before + absolute
        yield before + absolute.replace("/", "%2f")
    for path in (
        "out/secret.txt",
        "out/",
        "out",
        "sub/absolute",
        "sub/.git/secret.txt",
        ".secret.txt",
        "out/tree/a.txt",
    ):
        yield path
        yield path.replace("/", "%2f")
        yield "".join(f"%{ord(sign):02x}" for sign in path)
        yield path + "%00.css"
        yield path + "?a.css"
        yield path.upper()


def test_no_path_leads_out_of_the_tree(site):
    """Thousands of ways to write `..`, links, hidden names and absolute paths: none gives what nobody may read."""
    paths = [before + path for path in traversals(site.folder) for before in ("/", "/sub/", "/below/files/")]
    url = site.url("")

    def answers(part):
        connection = connect(url)
        found = []
        for path in part:
            connection.sendall(f"GET {path.replace(' ', '%20')} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            found.append((path, reply_on(connection)))
        connection.close()
        return found

    with ThreadPoolExecutor(4) as threads:
        found = list(itertools.chain(*threads.map(answers, [paths[start::4] for start in range(4)])))
    assert len(found) == len(paths) > 5000
    leaked = [path for path, reply in found if SECRET.encode() in reply.body]
    assert leaked == []
    assert [(path, reply.code) for path, reply in found if reply.code not in (200, 302, 404)] == []
    elsewhere = [path for path, reply in found if reply.code == 302 and not reply.headers["location"].startswith("/")]
    assert elsewhere == []


def reply_on(connection):
    """The next response of a connection that stays open."""
    data = b""
    while b"\r\n\r\n" not in data or len((reply := Reply(data)).body) < int(reply.headers.get("content-length", 0)):
        part = connection.recv(65536)
        assert part, data
        data += part
    return reply


def test_files_are_sent_as_clients_expect(site):
    """Types, tags, parts, HEAD and what has not changed."""
    url = site.url("")
    whole = ask(url, "/a.txt")
    assert (whole.code, whole.headers["content-type"], whole.body) == (200, "text/plain", b"0123456789")
    assert ask(url, "/a.txt", f"If-None-Match: {whole.headers['etag']}").code == 304
    assert ask(url, "/a.txt", f"If-Modified-Since: {whole.headers['last-modified']}").code == 304
    part = ask(url, "/a.txt", "Range: bytes=2-4")
    assert (part.code, part.headers["content-range"], part.body) == (206, "bytes 2-4/10", b"234")
    assert ask(url, "/a.txt", "Range: bytes=20-").headers["content-range"] == "bytes */10"
    assert ask(url, "/large.bin", method="HEAD").headers["content-length"] == str(SIZE)
    assert ask(url, "/large.bin", "Range: bytes=-4").body == b"last"
    assert ask(url, "/below/files/a").body == b"0123456789"
    assert ask(url, "/below/files/").code == 404


def test_a_file_is_streamed(site):
    """While clients take a file of 1 GiB, or do not take it, the process hardly grows, and answers others."""
    url = site.url("")
    process = psutil.Process(site.process.pid)
    ask(url, "/a.txt")
    before = highest = process.memory_info().rss
    request = b"GET /large.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    idle = []
    for _ in range(20):
        idle.append(connect(url))
        idle[-1].sendall(request)
    reader = connect(url)
    reader.sendall(request)
    room, got = bytearray(1 << 20), 0
    last = b""
    while count := reader.recv_into(room):
        got += count
        last = bytes(room[max(0, count - 4) : count]) if count >= 4 else last
        if got % (64 << 20) < count:
            highest = max(highest, process.memory_info().rss)
    assert (SIZE < got < SIZE + 1000, last) == (True, b"last")
    assert ask(url, "/a.txt").code == 200
    for connection in idle:
        connection.close()
    print(f"1 GiB to one client, 20 others that do not read: {(highest - before) / 2**20:.1f} MiB more")
    assert highest - before < 30 << 20


def test_a_client_that_leaves_within_a_file_leaves_no_file_open(site):
    """Who breaks off a download costs nothing afterwards."""
    url = site.url("")
    process = psutil.Process(site.process.pid)
    connections = [connect(url) for _ in range(10)]
    for connection in connections:
        connection.sendall(b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(100)
    assert len(opened(process)) == 10
    for connection in connections:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
    deadline = time.monotonic() + 30
    while opened(process):
        assert time.monotonic() < deadline
        ask(url, "/a.txt")


def opened(process):
    return [file for file in process.open_files() if os.path.basename(file.path) == "large.bin"]


def test_a_path_where_nothing_is_is_told(tmp_path):
    """A directory that is not there, most likely mistyped, is a warning at the start, and 404."""
    (tmp_path / "site.yaml").write_text("web: {site: {port: 0, routing: {__config__: {static: ./treee}}}}")
    with Running("site.yaml", cwd=tmp_path) as running:
        assert f"web.site: there is nothing at {tmp_path}/treee" in running.log
        assert ask(running.url(""), "/a").code == 404
        (tmp_path / "treee").mkdir()
        (tmp_path / "treee" / "a").write_text("now")
        assert ask(running.url(""), "/a").body == b"now"
