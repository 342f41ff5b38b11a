"""The browser in which pages are looked at, and the servers that all tests of a session share."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from servers import postgres as postgres_server
from servers import rabbitmq as rabbitmq_server
from servers import zookeeper as zookeeper_server

FLAGS = """--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --window-size=1440,980"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    """One browser for all tests of a file; what it says goes to its log."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


@pytest.fixture(scope="session", params=["twisted", "fast"])
def channel(request):
    """Which channel serves the site of a test: each in turn."""
    return request.param


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory):
    """One RabbitMQ for all tests, each of which takes a virtual host of its own: `rabbitmq.vhost()`."""
    if not rabbitmq_server.is_installed():
        pytest.skip("RABBITMQ IS NOT INSTALLED (apt install rabbitmq-server): nothing is tested against a real broker")
    with rabbitmq_server.RabbitMQ(tmp_path_factory.mktemp("rabbitmq")) as broker:
        yield broker


@pytest.fixture(scope="session")
def postgres():
    """One PostgreSQL for all tests, each of which takes a database of its own: `postgres.database()`."""
    if not postgres_server.is_installed():
        pytest.skip("POSTGRESQL IS NOT INSTALLED (apt install postgresql): nothing is tested against a real database")
    # Not in pytest's own folder, which only its user can reach.
    with TemporaryDirectory() as folder, postgres_server.Postgres(Path(folder)) as server:
        yield server


@pytest.fixture(scope="session")
def zookeeper(tmp_path_factory):
    """One ZooKeeper for all tests, each of which takes a root of its own: `f"{zookeeper.servers}/root"`."""
    if not zookeeper_server.is_installed():
        pytest.skip("ZOOKEEPER IS NOT INSTALLED (apt install zookeeper): nothing is tested against a real one")
    with zookeeper_server.ZooKeeper(tmp_path_factory.mktemp("zookeeper")) as server:
        yield server
