"""Forms, uploads, cookies and JSON over real sockets, and the examples that show them."""

import contextlib
import os
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from commands import EXAMPLES, Running, fetch, wait_until
from web_servers import Server, response

ANY_PORT = ("-O", "web.forms.port:0")
BOUNDARY = "----edge"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"


@pytest.fixture(scope="module")
def forms(tmp_path_factory, channel):
    options = (*ANY_PORT, "-O", f"web.forms.channel:{channel}")
    with Running(EXAMPLES / "forms.yaml", *options, cwd=tmp_path_factory.mktemp("forms")) as running:
        yield running


def multipart(*parts):
    """The body of a form: (name, content) or (name, content, filename) each."""
    body = b""
    for name, content, *filename in parts:
        option = f'; filename="{filename[0]}"' if filename else ""
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{option}\r\n\r\n'
        body += head.encode() + content + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


def post(forms, path, body, content_type=MULTIPART, **headers):
    return fetch(forms.url(path), body, headers={"Content-Type": content_type, **headers})


def resident(process):
    """How many bytes of memory a process takes, at most so far."""
    with open(f"/proc/{process.pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def test_a_form_with_a_file(forms):
    """What a browser sends arrives: text, and a file with its name and size."""
    answer = post(forms, "/greet", multipart(("name", "Ädä".encode()), ("photo", b"\x89PNG", "<me>.png")))
    assert (answer.code, answer.body) == (200, "<p>Hello, Ädä!<p>Thank you for &lt;me&gt;.png, of 4 bytes.")
    assert answer.headers["set-cookie"] == "name=%C3%84d%C3%A4; HttpOnly; SameSite=lax"


def test_a_plain_form_and_a_cookie(forms):
    """A form without files and a cookie are text for the pipeline."""
    answer = post(forms, "/greet", "name=Ada+L", "application/x-www-form-urlencoded", Cookie="name=Ada")
    assert answer.body == "<p>Hello, Ada L!<p>Last time it was Ada."
    assert forms.get("/greet").body == "<p>Hello, somebody!"


def test_a_large_file_takes_no_memory(forms):
    """Uploads of megabytes lie in temporary files, and are gone with their requests."""
    post(forms, "/greet", multipart(("photo", b"x", "warm.bin")))
    before = resident(forms.process)
    body = multipart(("name", b"Ada"), ("photo", b"x" * 19_000_000, "large.bin"))
    for _ in range(3):
        assert "large.bin, of 19000000 bytes" in post(forms, "/greet", body).body
    assert resident(forms.process) - before < 10_000_000
    wait_until(lambda: not open_temporary_files(forms.process))  # a client has its response before all is tidied up


def open_temporary_files(process):
    links = []
    for file in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed in between
            links.append(os.readlink(file))
    return [link for link in links if "(deleted)" in link]


@pytest.mark.parametrize(
    ("path", "body", "content_type", "told"),
    [
        ("/greet", b"nothing of the kind", MULTIPART, "the form is malformed: "),
        (
            "/greet",
            multipart(("name", b"x"))[:-9],
            MULTIPART,
            "the form is malformed: ",
        ),
        (
            "/greet",
            multipart(*[("a", b"")] * 2000),
            MULTIPART,
            "the form has more than",
        ),
        ("/greet", b"x" * 300_000, "multipart/form-data", "the form is malformed: "),
        ("/greet", b"a&" * 2000, "application/x-www-form-urlencoded", "a form has at most 1000 fields"),
        ("/sum", b'{"numbers": [1', "application/json", "the body is no JSON: "),
    ],
)
def test_a_malformed_body_is_400(forms, path, body, content_type, told):
    """A client that sends something broken is told what, and the next one is served."""
    answer = post(forms, path, body, content_type)
    assert (answer.code, answer.body[: len(told)]) == (400, told)
    assert post(forms, "/sum", b'{"numbers": [1, 2]}').body == '{"sum": 3}'


def test_a_pipeline_answers_what_is_wrong_in_its_own_words(forms):
    """JSON that is not what the pipeline needs is for its error consumers."""
    for body in (b"[1]", b'{"numbers": [1, "a"]}', b"{}"):
        answer = post(forms, "/sum", body)
        assert (answer.code, answer.json()) == (400, {"error": "numbers must be a list of numbers"})


def test_a_body_that_is_too_large_is_413(forms):
    """Nobody reads more than the site allows: the client is told before it sends it."""
    parts = urlsplit(forms.url())
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(b"POST /greet HTTP/1.1\r\nHost: x\r\nContent-Length: 20000001\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 413"


def test_others_are_served_while_a_large_form_is_read(forms):
    """A form that takes long to read holds up nobody else."""
    slow = b"&".join(b"n%d=" % n + b"%41" * 300 for n in range(999))
    posting = threading.Thread(target=post, args=(forms, "/greet", slow, "application/x-www-form-urlencoded"))
    posting.start()
    while posting.is_alive():
        assert forms.get("/greet").code == 200
    posting.join()


def test_the_example_of_the_client(tmp_path, monkeypatch):
    """A page made of another server's is served, also from memory when that one is down."""
    back = Server(lambda received: response(b'{"weather": "sun"}'))
    monkeypatch.setenv("BACK_PORT", str(urlsplit(back.url()).port))
    options = ("-O", "web.front.port:0", "-O", "web.back.enabled:false")
    with Running(EXAMPLES / "web_client.yaml", *options, cwd=tmp_path) as front:
        assert front.get().body == "Bergen: sun\n"
        assert (back.requests[0].target, back.requests[0].headers["accept"]) == ("/weather/Bergen", "application/json")
        back.answer = lambda received: response(b"broken", code=500)
        assert front.get().body == "Bergen: sun\n"
        back.close()
        assert front.get().body == "Bergen: sun\n"
        assert "HTTP11ClientFactory" not in front.log
        assert front.stop() == 0
