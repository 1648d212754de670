"""The page for everyone: by keyboard alone, in three languages, on a phone, in the dark, by voice, with a key."""

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from playwright.sync_api import Page, expect

from services.console import app as console
from services.console.settings import Settings
from tests.console.conftest import PATIENCE_MS, Visit, needs_chromium
from tests.gateway.support import FixedRouter, gateway
from tests.serving import on_a_port

pytestmark = [pytest.mark.stack, needs_chromium]
expect.set_options(timeout=PATIENCE_MS)
KEY = "open sesame"
MOST_TABS = 40
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
HEARS = """
window.SpeechRecognition = class {
  static async available(asked) { return asked.processLocally ? "available" : "unavailable"; }
  start() {
    if (!this.processLocally) throw new Error("this would leave the machine");
    const heard = [{transcript: "What can you do?"}];
    setTimeout(() => { this.onresult({results: [heard]}); this.onend(); }, 0);
  }
};
"""


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until the focus is there."""
    for _ in range(MOST_TABS):
        if page.evaluate("s => document.activeElement?.matches(s)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not reach {selector}")


def test_everything_works_by_keyboard_alone(visit: Visit):
    page = visit()
    tab_to(page, "#wish textarea")
    page.keyboard.type("Thank you so much for your help!")
    page.keyboard.press("Enter")
    turn = page.locator("#conversation article").first
    expect(turn.locator(".understood")).to_be_visible()
    expect(turn.locator(".correct")).to_be_attached()
    page.locator("#wish textarea").focus()
    tab_to(page, "#more > button")
    tab_to(page, ".correct summary")
    if turn.locator("details:not([open])").count():
        page.keyboard.press("Enter")
    tab_to(page, "[data-action=intent][data-intent=classify]")
    page.keyboard.press("Enter")
    expect(turn.locator(".bars li.chosen .name")).to_have_text("gratitude")
    tab_to(page, "#blend > button")
    page.keyboard.press("Enter")
    tab_to(page, "#share input[type=range]")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#share input[type=number]")).to_have_value("55")
    tab_to(page, "#do-blend")
    page.keyboard.press("Enter")
    expect(page.locator("#blend-note")).to_contain_text("Two pictures are needed.")
    for panel in ("documents", "services-panel", "key-panel"):
        tab_to(page, f"#{panel} > button")
        page.keyboard.press("Enter")
    tab_to(page, "#key input")


@pytest.mark.parametrize(
    ("locale", "language", "label", "example"),
    [
        ("en-GB", "en", "Pictures", "What can you do?"),
        ("es-ES", "es", "Imágenes", "¿Qué sabes hacer?"),
        ("ru-RU", "ru", "Картинки", "Что ты умеешь?"),
        ("de-DE", "en", "Pictures", "What can you do?"),
    ],
)
def test_the_page_speaks_the_browsers_language(
    visit: Visit, locale: str, language: str, label: str, example: str
):
    page = visit(locale=locale)
    expect(page.locator("#pictures > button")).to_contain_text(label)
    expect(page.get_by_role("button", name=example)).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == language


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_everything_without_scrolling_sideways(visit: Visit, scheme: Any):
    page = visit(color_scheme=scheme, **PHONE)
    page.locator("#wish textarea").fill("draw a red circle")
    page.locator("#wish textarea").press("Enter")
    expect(page.locator("#conversation figure img")).to_be_visible()
    for panel in ("more", "blend", "documents", "services-panel", "key-panel"):
        page.locator(f"#{panel} > button").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["viewport"]["width"]
    red, *_ = page.evaluate(
        "getComputedStyle(document.querySelector('.turn')).backgroundColor.match(/[0-9]+/g).map(Number)"
    )
    assert (red < 128) == (scheme == "dark")


def test_the_microphone_is_offered_only_where_speech_stays_on_the_machine(visit: Visit):
    without = visit()
    expect(without.locator("#speak")).to_be_hidden()
    page = visit(script=HEARS)
    page.locator("#speak").click()
    expect(page.locator("#wish textarea")).to_have_value("What can you do?")


@pytest.fixture
def locked() -> Iterator[str]:
    """Run a gateway that asks for a key, and a console before it; return the console's address."""
    keys = f"{hashlib.sha256(KEY.encode()).hexdigest()} acme"
    with (
        on_a_port(gateway(FixedRouter("chat"), keys=keys)) as api,
        on_a_port(_built(Settings.model_validate({"gateway_url": api}))) as address,
    ):
        yield address


def _built(settings: Settings) -> FastAPI:
    """Build a console elsewhere: here Playwright's loop is running, and Gradio would take it."""
    built: list[FastAPI] = []

    async def build() -> None:
        built.append(console.create_app(settings))

    thread = threading.Thread(target=lambda: asyncio.run(build()))
    thread.start()
    thread.join()
    return built[0]


def test_a_key_is_entered_once_and_kept_in_the_browser(locked: str, visit: Visit):
    page = visit(locked)
    page.get_by_role("button", name="What can you do?").click()
    expect(page.locator("#conversation .problem")).to_contain_text("A key is needed")
    page.locator("#key-panel > button").click()
    page.locator("#key input").fill("guess")
    page.locator("#keep-key").click()
    expect(page.locator("#key-note")).to_contain_text("unknown")
    page.locator("#key input").fill(KEY)
    page.locator("#key input").press("Enter")
    expect(page.locator("#key-note")).to_contain_text("kept and works")
    page.reload()
    page.locator("#wish textarea").fill("What can you do?")
    page.locator("#wish textarea").press("Enter")
    expect(page.locator("#conversation .said").first).to_be_visible()
