"""The manhole, as OpenSSH's client sees it."""

import random
import socket
import struct
import subprocess
import threading
import time

import pytest
from commands import EXAMPLES, Running, piped, wait_until
from ssh_client import ESCAPES, Client, make_key

SITE = """\
manholes:
  main:
    port: 0
    authorized_keys: {ada: authorized}
    checkers:
      inmemory:
        checker: twisted.cred.checkers.InMemoryUsernamePasswordDatabaseDontUse
        arguments: {ada: sesame, grace: pässword}
    dependencies: {store: context.store}
    namespace: {Decimal: decimal.Decimal}
contexts:
  store: {answer: 42}
pipelines:
  double:
    - eval-lambda: {input_path: n, output_path: n, lambda: "n: 2 * n"}
"""
#: Waits for a second and more, and says in the log how it ended.
WAITING = """\
async def waiting():
    import asyncio, logging
    print("be" "gun")
    try:
        await asyncio.sleep(300)
    finally:
        logging.getLogger("test").warning("it was cancelled")
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "site.yaml").write_text(SITE)
    kinds = ("rsa", "ecdsa", "ed25519")
    public = [make_key(tmp_path, kind).with_suffix(".pub").read_text() for kind in kinds]
    (tmp_path / "authorized").write_text("# keys\n" + "".join(public))
    (tmp_path / "authorized").chmod(0o600)
    return tmp_path


@pytest.fixture
def running(folder):
    with Running("site.yaml", cwd=folder) as running:
        yield running


@pytest.fixture
def client(running, folder):
    return Client(running, folder, key=folder / "id_ed25519")


@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
def test_every_kind_of_key_opens_it(kind, running, folder):
    """RSA keys of users too, though the key of the host is another kind; the login is in the log."""
    done = Client(running, folder, key=folder / f"id_{kind}").run("1 + 1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")
    running.wait_for("ada from 127.0.0.1:")
    running.wait_for("has logged in by publickey")
    running.wait_for("has left after")


@pytest.mark.parametrize(("user", "password"), [("ada", "sesame"), ("grace", "pässword")])
def test_a_password_opens_it(user, password, running, folder):
    """One with letters beyond ASCII too; it stands nowhere in the log."""
    assert Client(running, folder, user, password=password).run("1 + 1").stdout == "2\n"
    running.wait_for(f"{user} from 127.0.0.1:")
    assert password not in running.log


def test_others_are_refused(running, folder):
    """A wrong password, a strange key and a strange user; each is told in the log, without the password."""
    stranger = make_key(folder, name="strange")
    for user, credentials in (
        ("ada", {"password": "sesame open"}),
        ("ada", {"key": stranger}),
        ("eve", {"key": folder / "id_rsa"}),
    ):
        done = Client(running, folder, user, **credentials).run("1 + 1")
        assert (done.returncode, done.stdout) == (255, "")
        assert "Permission denied" in done.stderr
        running.wait_for(f"{user} from 127.0.0.1:")
        running.wait_for(f"is refused by {'password' if 'password' in credentials else 'publickey'}")
    assert "sesame" not in running.log
    assert running.log.count("is refused by") == 3


@pytest.mark.parametrize(
    ("option", "weak", "strong"),
    [
        ("Ciphers", "aes128-cbc", "aes128-ctr"),
        ("MACs", "hmac-sha1", "hmac-sha2-256"),
        ("KexAlgorithms", "diffie-hellman-group14-sha1", "curve25519-sha256"),
    ],
)
def test_weak_algorithms_are_not_spoken(option, weak, strong, client):
    """CBC and SHA-1 do not come about, however much a client wants them."""
    assert client.run("1", options=("-o", f"{option}={weak}")).returncode == 255
    assert client.run("1", options=("-o", f"{option}={strong}")).returncode == 0


def test_a_command_is_evaluated(client):
    """What it prints and gives comes to the standard output, what goes wrong to the other; the exit status tells."""
    done = client.run("print(Decimal('0.5')); dependencies.store['answer']")
    assert (done.returncode, done.stdout, done.stderr) == (0, "0.5\n42\n", "")
    done = client.run("await pipelines['double']({'n': 21})")
    assert done.stdout == "[{'n': 42}]\n"
    done = client.run("import asyncio; await asyncio.to_thread(print, 'from', 'a thread')")
    assert done.stdout == "from a thread\n"
    done = client.run("1 / 0")
    assert (done.returncode, done.stdout) == (1, "")
    assert "ZeroDivisionError" in done.stderr
    assert client.run("exit(7)").returncode == 7


def test_much_output_comes_whole(client):
    """More than the window of the client holds."""
    done = client.run("for n in range(400_000): print(f'{n:09}')")
    lines = done.stdout.split()
    assert (len(lines), lines[0], lines[-1]) == (400_000, "000000000", "000399999")


def test_a_script_is_piped_in(client):
    """Served to the end, though the input has ended long before; the first failure ends it."""
    script = "import asyncio\nfor n in range(3):\n    await asyncio.sleep(0.05)\n    print(n)\nprint('end')\n'last'"
    done = client.run(input=script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n1\n2\nend\n'last'\n", "")
    much = "import asyncio\nawait asyncio.sleep(1)\n" + "a = 'not read before there is room'\n" * 60_000
    assert client.run(input=f"{much}a\n").stdout == "'not read before there is room'\n"
    done = client.run(input="print(1)\n1 / 0\nprint(2)\n")
    assert (done.returncode, done.stdout) == (1, "1\n")
    assert "ZeroDivisionError" in done.stderr


def test_a_script_is_piped_into_a_terminal(client):
    """`ssh -tt` sends what is piped in as if it was typed: it is served to the end too."""
    done = client.run(options=("-tt",), input="for n in range(3):\n    print(n + 10)\n\nprint('en' 'd')\n")
    assert done.returncode == 0
    shown = ESCAPES.sub("", done.stdout)
    assert "\n10\n11\n12\n" in shown
    assert "\nend\n" in shown


def test_the_prompt_of_a_person(client):
    """Blocks, completion, history, ctrl-C, several widths, and the end by ctrl-D."""
    with client.terminal() as terminal:
        terminal.wait_for("h() lists what can be asked")
        terminal.enter("for n in range(2):")
        terminal.wait_for("... ")
        terminal.type("print('n', n)\r\r")
        terminal.wait_for("n 0\r\nn 1\r\n")
        terminal.enter("deco = dependencies.sto\t['ans' 'wer']")
        terminal.enter("deco")
        terminal.wait_for("42\r\n")
        terminal.wait_for(">>> ")
        terminal.type("\x1b[A\x01 - 2 + \x05\x1b[D\x1b[C + 100\r")
        terminal.wait_for("\r\n140\r\n")
        terminal.enter("import asyncio; print('be' 'gun'); await asyncio.sleep(300)")
        terminal.wait_for("begun")
        terminal.type("\x03")
        terminal.wait_for("cancelled")
        terminal.resize(30, 40)
        terminal.enter("'" + "x" * 100 + "'[:1] + 'é' # ☃")
        terminal.wait_for("'xé'\r\n")
        terminal.type("\x1b[200~class A:\n    b = 1\n\n    c = 2\n\x1b[201~\r")
        terminal.enter("A.c * 'yes'")
        terminal.wait_for("'yesyes'\r\n")
        terminal.enter("h()")
        terminal.wait_for("double  0 succeeded")
        terminal.wait_for("context.store: ready")
        terminal.wait_for(">>> ")
        terminal.type("\x04")
        assert terminal.ended() == 0


def test_two_users_at_once_do_not_see_each_other(running, folder):
    """Each has names of his own, and gets what he has printed himself, also when both wait at the same time."""
    ada = Client(running, folder, key=folder / "id_rsa")
    (folder / "grace").mkdir()
    grace = Client(running, folder / "grace", "grace", password="pässword")
    loop = "import asyncio\nfor n in range(20):\n    await asyncio.sleep(0.01); print(name)\n\n"
    with ada.terminal() as first, grace.terminal() as second:
        for terminal, name in ((first, "ada"), (second, "grace")):
            terminal.enter(f"name = '{name}' * 2")
        for terminal in (first, second):
            terminal.wait_for(">>> ")
            terminal.type(loop + "'do' 'ne'\r")
        for terminal in (first, second):
            terminal.wait_for("'done'")
        assert (first.screen.count("adaada"), first.screen.count("gracegrace")) == (20, 0)
        assert (second.screen.count("gracegrace"), second.screen.count("adaada")) == (20, 0)


def test_hanging_up_cancels_what_runs(client, running):
    """An expression does not go on for a client who has gone."""
    with client.terminal() as terminal:
        terminal.wait_for(">>> ")
        terminal.type(f"\x1b[200~{WAITING}\x1b[201~\r")
        terminal.enter("await waiting()")
        terminal.wait_for("begun")
        terminal.process.kill()
        running.wait_for("it was cancelled")
    assert running.stop() == 0


def test_the_stop_of_the_process_tells_everybody(client, running):
    """Who is logged in reads why, what he waits for is cancelled, and the process does not wait for him."""
    with client.terminal() as terminal:
        terminal.enter("import asyncio; print('be' 'gun'); await asyncio.sleep(300)")
        terminal.wait_for("begun")
        began = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - began < 15
        terminal.wait_for("the process stops")
        assert terminal.ended() != 0


def test_the_host_key_is_made_once(folder):
    """Clients that know the server know it again after a restart; nobody else can read its key."""
    for _ in range(2):
        with Running("site.yaml", cwd=folder) as running:
            client = Client(running, folder, key=folder / "id_rsa")
            port = client.command[client.command.index("-p") + 1]
            # Known under one name, as the port is another one each time.
            done = client.run("1", options=("-o", "HostKeyAlias=manhole"))
            assert (done.stdout, done.returncode, bool(port)) == ("1\n", 0, True), done.stderr
    assert len((folder / "known_hosts").read_text().splitlines()) == 1
    assert (folder / "manhole_host_key").stat().st_mode & 0o777 == 0o600
    (folder / "manhole_host_key").chmod(0o644)
    done = piped("run", "site.yaml", cwd=folder)
    assert done.returncode == 1
    assert "site.yaml:2:3: manholes.main has no key: others may read manhole_host_key" in done.stderr


@pytest.mark.parametrize(
    ("kind", "form"),
    [(kind, form) for kind in ("rsa", "ecdsa") for form in ("RFC4716", "PEM", "PKCS8")] + [("ed25519", "RFC4716")],
)
def test_a_key_of_ones_own(kind, form, folder):
    """Every kind of key in every form that ssh-keygen writes."""
    key = make_key(folder, kind, "host")
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "", "-m", form, "-f", key], check=True, capture_output=True)
    (folder / "site.yaml").write_text(SITE.replace("    port: 0", "    port: 0\n    keys: {private_key_file: host}"))
    with Running("site.yaml", cwd=folder) as running:
        client = Client(running, folder, key=folder / "id_ed25519")
        assert client.run("1 + 1").stdout == "2\n"
        assert (folder / "host.pub").read_text().split()[1] in client.known.read_text()
    assert not (folder / "manhole_host_key").exists()


def test_a_port_in_use_is_told_at_its_place(running, folder):
    """With file, line and column, and exit code 1."""
    port = running.wait_for("listens on ssh://").rsplit(":", 1)[1]
    done = piped("run", "site.yaml", "-O", "manholes.main.checkers:{}", "-O", f"manholes.main.port:{port}", cwd=folder)
    assert done.returncode == 1
    assert f"manholes.main cannot listen on port {port}: address already in use" in done.stderr


def test_junk_is_cut_off(folder):
    """Hundreds of clients that speak no SSH, or stop in the middle of it: the server goes on, and forgets them."""
    with Running("site.yaml", "-O", "manholes.main.login_time:5", cwd=folder) as running:
        _send_junk_to(running, Client(running, folder, key=folder / "id_ed25519"))
        assert "Traceback" not in running.log
        assert running.stop() == 0


def _send_junk_to(running, client):
    port = int(running.wait_for("listens on ssh://").rsplit(":", 1)[1])
    chance = random.Random(6)

    def send_junk(count):
        for _ in range(count):
            with socket.create_connection(("127.0.0.1", port), 30) as connection:
                begin = chance.choice((b"", b"SSH-2.0-x\r\n", b"GET / HTTP/1.1\r\n\r\n", b"SSH-1.5-x\r\n"))
                packet = struct.pack(">LB", chance.choice((12, 28, 2**31)), 4) + chance.randbytes(chance.randrange(300))
                try:
                    connection.sendall(begin + packet)
                    if chance.random() < 0.3:
                        connection.shutdown(socket.SHUT_WR)
                        while connection.recv(65536):
                            pass
                except ConnectionError:
                    continue

    threads = [threading.Thread(target=send_junk, args=(75,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: client.run("1 + 1").stdout == "2\n")
    ask = "len(next(iter(runtime_environment.application.getServiceNamed('manholes'))).connections.connections)"
    wait_until(lambda: client.run(ask).stdout == "1\n")


def test_the_example_does_what_it_says(tmp_path):
    """The expressions that stand in its first lines give what is written there."""
    with Running(EXAMPLES / "manhole.yaml", "-O", "manholes.main.port:0", cwd=tmp_path) as running:
        client = Client(running, tmp_path, password="change me")
        assert client.run("d.visits").stdout == "{'count': 0}\n"
        assert client.run('await pipelines["visit"]({}); d.visits').stdout.endswith("{'count': 1}\n")
        assert "visit  1 succeeded" in client.run("h()").stdout
