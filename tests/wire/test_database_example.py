"""The guest book that the example shows."""

from __future__ import annotations

from commands import EXAMPLES, Running, piped


def test_the_guest_book(tmp_path):
    """What is signed is in the book, also after a restart, on either reactor; what breaks a rule is in no table."""
    for number, reactor in enumerate(("epoll", "uvloop")):
        with Running(EXAMPLES / "database.yaml", "-O", "web.site.port:0", "-r", reactor, cwd=tmp_path) as running:
            assert running.get("/sign?name=Ada&text=hello").body == "thank you\n"
            assert running.get("/sign?name=Bob&text=").code == 400
            assert running.get("/").json() == [{"name": "Ada", "text": "hello"}] * (number + 1)
            assert running.get("/find?name=Ada").json() == {"name": "Ada", "visits": number + 1}
            assert running.get("/find?name=Bob").json() is None
            assert running.stop() == 0


def test_an_asynchronous_engine_on_a_reactor_that_is_not_asyncios(tmp_path):
    """Nothing is started, and it is said what to do about it."""
    url = "database.engines.book.engine.url:sqlite+aiosqlite:///a.db"
    done = piped("run", EXAMPLES / "database.yaml", "-O", url, "-r", "epoll", "-O", "web.site.port:0", cwd=tmp_path)
    assert done.returncode == 78
    assert "needs the loop of asyncio – start with -r uvloop" in done.stderr
