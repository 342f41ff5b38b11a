"""Where sites listen: ports, endpoints of every kind, and what systemd hands over."""

import os
import signal
import socket
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from commands import PIPED, Running, piped
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sockets import ask, connect

SITE = """\
  {name}:
    {listen}
    routing:
      __config__: {{processor: hello}}
"""
HELLO = """\
pipelines:
  hello:
    - write-web-response: {fallback_content: hello}
"""


def write_site(folder, *listen):
    sites = "".join(SITE.format(name=f"site{number}", listen=written) for number, written in enumerate(listen))
    (folder / "site.yaml").write_text("web:\n" + sites + HELLO)


@pytest.fixture
def certificate(tmp_path):
    """key.pem and certificate.pem for localhost, and both in server.pem; gives the path of the certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private = key.private_bytes(*form)
    (tmp_path / "key.pem").write_bytes(private)
    (tmp_path / "certificate.pem").write_bytes(made)
    (tmp_path / "server.pem").write_bytes(private + made)
    return tmp_path / "certificate.pem"


def urls(running, number):
    """The addresses of so many sites, in their order."""
    running.wait_for("ready")
    lines = [line.split("listens on ")[1] for line in running.lines if "listens on" in line]
    assert len(lines) == number
    return lines


def test_several_sites_listen_in_one_process(tmp_path):
    """Ports, endpoints and the old forms of them, each for a site of its own."""
    forms = "port: 0", "port: tcp:0:interface=127.0.0.1", "{port: 1, listen: 'tcp:0'}"[1:-1].replace(", ", "\n    ")
    write_site(tmp_path, *forms, 'listen: "0"')
    with Running("site.yaml", cwd=tmp_path) as running:
        found = urls(running, 4)
        for url in found:
            assert ask(url.replace("0.0.0.0", "127.0.0.1"), "/").body == b"hello"
        assert [url.split(":")[1] for url in found] == ["//127.0.0.1", "//127.0.0.1", "//0.0.0.0", "//127.0.0.1"]
        assert running.stop() == 0


@pytest.mark.parametrize("listen", ["ssl:0:privateKey=key.pem:certKey=certificate.pem", "ssl:0"])
def test_a_site_listens_with_tls(tmp_path, certificate, listen):
    """`ssl:` with a key and a certificate, or with server.pem as the old form has it."""
    write_site(tmp_path, f"listen: {listen}")
    with Running("site.yaml", cwd=tmp_path) as running:
        [url] = urls(running, 1)
        assert url.startswith("https://")
        url = url.replace("0.0.0.0", "localhost")
        assert ask(url, "/", certificate=certificate).body == b"hello"
        assert running.stop() == 0
        assert "Traceback" not in running.log


def test_a_site_listens_on_a_unix_socket(tmp_path):
    """`unix:` is a file, which a process that was killed leaves behind without harm; clients there have no address."""
    write_site(tmp_path, f"listen: unix:{tmp_path}/site.sock:mode=600\n    access_log: combined")
    for number in (signal.SIGKILL, signal.SIGTERM):
        with Running("site.yaml", cwd=tmp_path) as running:
            assert urls(running, 1) == [f"http+unix:{tmp_path}/site.sock"]
            assert ask(tmp_path / "site.sock", "/").body == b"hello"
            assert (tmp_path / "site.sock").stat().st_mode & 0o777 == 0o600
            assert " unix - - [" in running.wait_for("[piped.access]")
            running.stop(number)
    assert not (tmp_path / "site.sock").exists()


def test_a_site_listens_on_what_systemd_hands_over(tmp_path):
    """With socket activation a client that came before the process is answered, and one after its restart."""
    write_site(tmp_path, "listen: systemd:domain=INET:index=0")
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        # What systemd does: the socket is number 3, and the environment tells whom it is for.
        command = 'exec 3<&"$1"; shift; LISTEN_FDS=1 LISTEN_FDNAMES=web LISTEN_PID=$$ exec "$@"'
        for _ in range(2):
            connection = connect(url)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            running = subprocess.Popen(
                ["bash", "-c", command, "sh", str(server.fileno()), PIPED, "run", "site.yaml"],
                cwd=tmp_path,
                pass_fds=[server.fileno()],
                stderr=subprocess.DEVNULL,
            )
            try:
                assert connection.recv(1000).endswith(b"hello")
                assert ask(url, "/").code == 200
                running.terminate()
                assert running.wait(30) == 0
            finally:
                running.kill()
                running.wait()
                connection.close()


def test_a_socket_that_systemd_did_not_hand_over_is_told(tmp_path):
    """Started by hand, a site that waits for systemd says so, and where that is written."""
    write_site(tmp_path, "listen: systemd:domain=INET:index=0")
    assert piped("check", "site.yaml", cwd=tmp_path).returncode == 0
    done = piped("run", "site.yaml", cwd=tmp_path)
    assert done.returncode == 78
    assert "site.yaml:3:13: 'systemd:domain=INET:index=0' is no endpoint: systemd has handed over no" in done.stderr


@pytest.mark.parametrize(
    ("listen", "told"),
    [
        ("ssl:1234", "'ssl:1234' is no endpoint: cannot read {folder}/server.pem: no such file or directory"),
        ("tcp:http:x", "'tcp:http:x' is no endpoint"),
        ("tpc:80", "'tpc:80' is no endpoint"),
        ("99999", "99999 is no port"),
    ],
)
def test_what_cannot_listen_is_told_before_it_runs(tmp_path, listen, told):
    """A missing key, a misspelt endpoint or a port that is none stop nothing later than the check."""
    write_site(tmp_path, f"listen: {listen}")
    done = piped("check", "site.yaml", cwd=tmp_path)
    assert done.returncode == 78
    assert "site.yaml:3:13: " + told.format(folder=os.path.realpath(tmp_path)) in done.stderr
