"""The browser in which pages are looked at."""

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

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
