"""The page at the server's root in a real browser."""

from __future__ import annotations

from typing import Any

from selenium.webdriver.common.by import By

from tests.integration.support import Daemon, IntegrationTestCase
from tests.support.chromium import calm, chromium

#: What a public URL can hold at worst, and is longer than a line.
HOSTILE = "https://lfs.example/<script>document.title='taken'</script>\"onload='x'&lt;" + "a/" * 200

#: How many CSS pixels a small phone is wide.
PHONE = 375


class LandingPageTests(IntegrationTestCase):
    def setUp(self) -> None:
        """Take the browser."""
        super().setUp()
        self.browser = chromium()
        self.addCleanup(calm, self.browser)
        self.addCleanup(self.reset)

    def reset(self) -> None:
        """Leave the browser as it was."""
        self.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        self.browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {}})

    def open(self, daemon: Daemon, host: str = "127.0.0.1") -> None:
        """Open the page under one of the names of this machine."""
        self.browser.get(f"http://{host}:{daemon.port}/")

    def be_a_phone(self) -> None:
        """Have the screen of a small phone."""
        metrics = {"width": PHONE, "height": 667, "deviceScaleFactor": 2, "mobile": True}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, scheme: str) -> None:
        """Prefer light or dark pages."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def text(self) -> str:
        """Return what can be read on the page."""
        return self.browser.find_element(By.TAG_NAME, "body").text

    def script(self, code: str) -> Any:
        """Return what an expression is in the page."""
        return self.browser.execute_script(f"return {code}")

    def contrast(self, selector: str) -> float:
        """Return the contrast of an element's text with what is behind it (WCAG 2.2)."""
        code = """
            const element = document.querySelector(arguments[0])
            let behind = element
            while (getComputedStyle(behind).backgroundColor === 'rgba(0, 0, 0, 0)')
                behind = behind.parentElement
            const numbers = text => text.match(/\\d+/g).map(Number)
            return [numbers(getComputedStyle(element).color),
                    numbers(getComputedStyle(behind).backgroundColor)]"""
        lights = sorted(map(luminance, self.browser.execute_script(code, selector)))
        return (lights[1] + 0.05) / (lights[0] + 0.05)

    def assert_calm(self) -> None:
        """Check that the browser complains about nothing, and runs no script."""
        self.assertEqual(self.browser.get_log("browser"), [])
        self.assertEqual(self.browser.title, "Git LFS server")
        self.assertEqual(self.script("document.scripts.length"), 0)

    def test_the_page_says_how_to_point_a_repository_here(self) -> None:
        daemon = self.start_daemon()
        for host in ("127.0.0.1", "localhost", "a-b.c_d.localhost"):
            self.open(daemon, host)
            self.assertIn(
                f"git config -f .lfsconfig lfs.url http://{host}:{daemon.port}/ORG/REPO.git/info"
                "/lfs\n",
                self.text(),
            )
            self.assert_calm()

    def test_a_hostile_public_url_is_text_on_a_phone_as_well(self) -> None:
        self.open(self.start_daemon("plain"))
        elements = "document.querySelectorAll('body *').length"
        plain = self.script(elements)
        daemon = self.start_daemon(config={"public_url": HOSTILE})
        shown = HOSTILE.rstrip("/").replace("'", "'\"'\"'")
        for width in (900, PHONE):
            if width == PHONE:
                self.be_a_phone()
            self.open(daemon)
            self.assertIn(f"lfs.url '{shown}/ORG/REPO.git/info/lfs'\n", self.text())
            self.assert_calm()
            self.assertEqual(self.script(elements), plain)
            self.assertEqual(self.script("window.innerWidth"), width)
            self.assertLessEqual(self.script("document.documentElement.scrollWidth"), width)

    def test_a_hostile_host_is_not_on_the_page(self) -> None:
        daemon = self.start_daemon(config={"trusted_proxies": ["127.0.0.1"]})
        self.browser.execute_cdp_cmd("Network.enable", {})
        for host in ("<script>document.title='taken'</script>", '"onload="x', "a b", "$(id)"):
            headers = {"headers": {"X-Forwarded-Host": host}}
            self.browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", headers)
            self.open(daemon)
            self.assertEqual(self.script("document.querySelectorAll('main').length"), 1)
            self.assertIn("https://HOST/ORG/REPO.git/info/lfs", self.text())
            self.assertNotIn("taken", self.script("document.documentElement.outerHTML"))
            self.assert_calm()
        headers = {"headers": {"X-Forwarded-Host": "lfs.example", "X-Forwarded-Proto": "https"}}
        self.browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", headers)
        self.open(daemon)
        self.assertIn("https://lfs.example/ORG/REPO.git/info/lfs", self.text())

    def test_light_and_dark_can_be_read(self) -> None:
        daemon = self.start_daemon()
        seen = set()
        for scheme in ("light", "dark"):
            self.prefer(scheme)
            self.open(daemon)
            for selector in ("h1", "p", "a", "pre code"):
                self.assertGreaterEqual(self.contrast(selector), 4.5, f"{scheme} {selector}")
            seen.add(self.script("getComputedStyle(document.body).backgroundColor"))
            self.assert_calm()
        self.assertEqual(len(seen), 2)


def luminance(color: list[int]) -> float:
    """Return the relative luminance of a colour (WCAG 2.2)."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (value / 255 for value in color[:3])
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
