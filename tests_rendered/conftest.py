"""A local server for the rendered book and a headless Chromium; `make verify` runs these checks.

MEDSSL_HTML names another folder than `_build/html`.
"""

import base64
import functools
import http.server
import json
import os
import shutil
import threading
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

ROOT = Path(__file__).parents[1]
HTML = Path(os.environ.get("MEDSSL_HTML", ROOT / "_build" / "html")).resolve()
SCREENSHOTS = HTML.parent / "screenshots"
FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars",
]  # fmt: skip
READY = """
const done = arguments[0];
document.querySelectorAll('img').forEach(image => image.loading = 'eager');
const mathematics = (window.MathJax && MathJax.startup && MathJax.startup.promise) || Promise.resolve();
const images = [...document.images].map(image => image.decode().catch(() => 0));
mathematics.then(() => Promise.all(images)).then(() => done(true));
"""


def pages() -> list[str]:
    """Every page of the book, relative to its root."""
    return sorted(path.relative_to(HTML).as_posix() for path in (HTML / "chapters").rglob("*.html"))


def pytest_generate_tests(metafunc):
    """Run a test that asks for `page` once for each page."""
    if "page" in metafunc.fixturenames:
        found = pages()
        if not found:
            raise pytest.UsageError(f"{HTML} holds no book: run make book first")
        metafunc.parametrize("page", found)


class _Handler(http.server.SimpleHTTPRequestHandler):
    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".woff": "font/woff"}  # noqa: RUF012

    def log_message(self, *arguments):
        """Say nothing for each request."""


@pytest.fixture(scope="session")
def address():
    """The address of a local server of the rendered book."""
    handler = functools.partial(_Handler, directory=str(HTML))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """A headless Chromium with an empty profile that logs its requests and its console."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "/usr/bin/chromium"
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    service = Service(shutil.which("chromedriver") or "/usr/bin/chromedriver")
    with webdriver.Chrome(options=options, service=service) as driver:
        driver.set_page_load_timeout(60)
        yield driver


class Browser:
    """Pages of the book in Chromium, and what they asked for.

    Parameters
    ----------
    driver : selenium.webdriver.Chrome
    address : str
        The local server.
    """

    def __init__(self, driver, address: str):
        self.driver, self.address = driver, address
        self.resize(1280, 900)
        self.foreign_requests()
        self.console_errors()

    def resize(self, width: int, height: int) -> None:
        """Give pages this size in CSS pixels."""
        self.width = width
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def open(self, page: str) -> None:
        """Load a page and wait until its mathematics is set and its images are there."""
        self.driver.get(f"{self.address}/{page}")
        self.driver.execute_async_script(READY)

    def all(self, selector: str) -> list:
        """Return the elements that a CSS selector finds."""
        return self.driver.find_elements("css selector", selector)

    def wait(self, condition):
        """Wait for a condition on the driver and return its value."""
        return WebDriverWait(self.driver, 20).until(condition)

    def foreign_requests(self) -> list[str]:
        """Return the addresses on other hosts asked for since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [each["params"] for each in messages if each["method"] == "Network.requestWillBeSent"]
        own = ("data:", "blob:", self.address)
        return [each["request"]["url"] for each in sent if not each["request"]["url"].startswith(own)]

    def console_errors(self) -> list[dict]:
        """Return the errors in the console since the last call."""
        return [each for each in self.driver.get_log("browser") if each["level"] in {"SEVERE", "ERROR"}]

    def screenshot(self, name: str) -> None:
        """Save the whole page below `_build/screenshots`."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        size = self.driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
        self.resize(self.width, min(int(size["height"]), 12000))
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {})
        (SCREENSHOTS / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))


@pytest.fixture
def browser(chromium, address) -> Browser:
    """The browser at the width of a laptop, with empty logs."""
    return Browser(chromium, address)


@pytest.fixture(scope="session")
def html() -> Path:
    """The folder of the rendered book."""
    return HTML


@pytest.fixture(scope="session")
def every_page() -> list[str]:
    """All pages, for checks that go over the book as a whole."""
    return pages()
