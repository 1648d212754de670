"""A real Chromium before the running stack; a page that calls another host or logs an error fails its test."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.running import RunningStack

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium here; on Debian: apt install chromium"
)
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 30_000.0
OWN_SCHEMES = ("data", "blob")

Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Run one browser for a module; Playwright keeps a loop running that async tests cannot share."""
    assert CHROMIUM is not None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


class Watch:
    """Notes what a page must not do."""

    def __init__(self, page: Page, host: str) -> None:
        self.wrong: list[str] = []
        self.host = host
        page.on("request", lambda request: self._asked(request.url))
        page.on("websocket", lambda socket: self._asked(socket.url))
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("console", self._said)

    def _asked(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in OWN_SCHEMES and parts.netloc != self.host:
            self.wrong.append(f"asked {url}")

    def _said(self, message: Any) -> None:
        if message.type == "error":
            self.wrong.append(f"logged {message.text} at {message.location}")


@pytest.fixture
def visit(browser: Browser, running_stack: RunningStack) -> Iterator[Visit]:
    """Return what opens the console like a new visitor; afterwards no page may have done wrong."""
    watches: list[Watch] = []
    usual = str(running_stack.gateway.base_url)

    def open_page(url: str = usual, script: str = "", **wishes: Any) -> Page:
        context = browser.new_context(**{"locale": "en-US", **wishes})
        context.set_default_timeout(PATIENCE_MS)
        if script:
            context.add_init_script(script)
        page = context.new_page()
        watches.append(Watch(page, urlsplit(url).netloc))
        page.goto(f"{url.rstrip('/')}/console")
        page.wait_for_selector("#conversation button, #conversation article")
        page.wait_for_timeout(500)  # what the browser had kept is read after the page is there
        return page

    yield open_page
    for context in browser.contexts:
        context.close()
    assert not [wrong for watch in watches for wrong in watch.wrong]
