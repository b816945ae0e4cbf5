"""A headless Chromium, driven by Selenium, for what only a browser can show.

``.ci/run`` installs Chromium where it can; where it is missing, tests that need
it are skipped and say so.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from twisted.trial.unittest import SkipTest

from tests.support.processes import PATIENCE, base_environ

#: What keeps it to itself: no window, no network of its own.
FLAGS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--window-size=900,1150",
    # A process for each page that is opened takes a third more of the processor; what
    # pages may do does not depend on it.
    "--process-per-site",
    "--disable-site-isolation-trials",
    # Without these two a page is opened in two thirds of the time.
    "--disable-features=BackForwardCache,RenderDocument",
)

#: The text of an element as people see it.
_TEXT = """
const element = document.querySelector(arguments[0]);
return element?.checkVisibility() ? element.innerText : "";
"""


@functools.cache
def chromium() -> webdriver.Chrome:
    """Return a browser, started once, for all tests of this process.

    Its profile is empty at first.  Pages of different ports share nothing in it.

    :raises SkipTest: if Chromium or its driver is not installed.
    """
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        raise SkipTest("chromium is not installed: apt-get install chromium chromium-driver")
    profile = tempfile.mkdtemp(prefix="giftless-chromium-")
    atexit.register(shutil.rmtree, profile, ignore_errors=True)
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # A proxy that the environment names would be in the way.
    browser = webdriver.Chrome(options=options, service=Service(driver, env=base_environ()))
    atexit.register(browser.quit)
    return browser


def calm(browser: webdriver.Chrome) -> None:
    """Leave all pages, close all tabs but one, and forget what it knows and what was logged."""
    first, *others = browser.window_handles
    for tab in others:
        browser.switch_to.window(tab)
        browser.close()
    browser.switch_to.window(first)
    browser.set_network_conditions(latency=0, throughput=-1)
    for command, values in (
        ("setScriptExecutionDisabled", {"value": False}),
        ("setEmulatedMedia", {"features": []}),
        ("clearDeviceMetricsOverride", {}),
    ):
        browser.execute_cdp_cmd(f"Emulation.{command}", values)
    # Some pages, as the empty one, have no such storage.
    browser.execute_script("try { sessionStorage.clear() } catch {}")
    browser.get("about:blank")
    browser.get_log("browser")


def be_desktop(browser: webdriver.Chrome) -> None:
    """Have the browser's own screen again."""
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def be_phone(browser: webdriver.Chrome) -> None:
    """Have the screen of a small phone, until :func:`be_desktop` or :func:`calm`."""
    screen = {"width": 375, "height": 700, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)


def prefer_colours(browser: webdriver.Chrome, scheme: str) -> None:
    """Prefer ``light`` or ``dark`` colours, until :func:`calm`."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def disable_scripts(browser: webdriver.Chrome) -> None:
    """Run no scripts of pages, until :func:`calm`."""
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})


def text_of(browser: webdriver.Chrome, selector: str) -> str:
    """Return what can be read in an element; nothing, if there is none, or it is not shown.

    The driver's own way takes ten times as long.
    """
    found = browser.execute_script(_TEXT, selector)
    return str(found).replace("\t", " ").strip()


def complaints(browser: webdriver.Chrome) -> list[str]:
    """Return the errors and warnings in the console since it was asked last."""
    return [
        entry["message"]
        for entry in browser.get_log("browser")
        if entry["level"] in ("SEVERE", "WARNING")
    ]


class Pages:
    """A web server for a directory of files, on a loopback port.

    :param directory: what it serves.
    :ivar asked: the paths that were asked for.
    """

    def __init__(self, directory: Path) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/favicon.ico":
                    # A browser asks for it unasked, whenever it likes.
                    self.send_response_only(204)
                    self.end_headers()
                else:
                    super().do_GET()

            def log_request(self, code: Any = "-", size: Any = "-") -> None:
                asked.append(self.path)

        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(Handler, directory=str(directory))
        )
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def origin(self, host: str = "127.0.0.1") -> str:
        """Return the origin of its pages, under one of the machine's names."""
        return f"http://{host}:{self._server.server_port}"

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def wait_for(condition: Callable[[], Any], what: Callable[[], str]) -> None:
    """Wait for something that a page does in its own time.

    :param what: tells what is the case instead, for the error message.
    """
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain: {what()}")
        time.sleep(0.1)
