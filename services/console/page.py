"""The page: its panels side by side, its looks, and what happens when it is opened."""

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.themes.utils.fonts import Font

from services.console.client import Gateway
from services.console.panels.aside import Key, Services
from services.console.panels.blend import Blending
from services.console.panels.documents import Documents
from services.console.panels.screen import Screen, language_of
from services.console.panels.session import Session
from services.console.panels.talk import Talk
from services.console.settings import Settings
from services.console.texts import LANGUAGES, say, words

STATIC = Path(__file__).with_name("static")
TITLE = "Switchboard"
CLEANING_SECONDS = 600
# The system's own fonts: a theme's usual ones would come from the network or cost a request each.
FONTS = tuple(map(Font, ("ui-sans-serif", "system-ui", "sans-serif")))
MONOSPACED = tuple(map(Font, ("ui-monospace", "monospace")))


def translations() -> gr.I18n:
    """Return the labels, which the browser chooses from by its own language."""
    return gr.I18n(**{language: dict(words(language)) for language in LANGUAGES})


def theme() -> gr.themes.Base:
    """Return quiet looks with one accent colour."""
    quiet = gr.themes.Base(
        primary_hue="teal",
        neutral_hue="slate",
        radius_size="lg",
        font=FONTS,
        font_mono=MONOSPACED,
    )
    # The usual shades have less contrast than WCAG 2.2 asks for.
    return quiet.set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_title_text_color="*neutral_600",
        block_title_text_color_dark="*neutral_200",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        color_accent="*primary_700",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        slider_color="*primary_600",
    )


def looks() -> dict[str, Any]:
    """Return what Gradio puts into the page's head."""
    # Not as `css`: Gradio rewrites selectors there, and loses those inside `@media`.
    style = (STATIC / "console.css").read_text(encoding="utf-8")
    script = (STATIC / "console.js").read_text(encoding="utf-8")
    return {"theme": theme(), "head": f"<style>{style}</style><script>{script}</script>"}


def build_page(gateway: Gateway, settings: Settings, say_it: gr.I18n) -> gr.Blocks:
    """Put the panels together; nothing is called before somebody opens the page."""
    page = gr.Blocks(
        title=TITLE,
        analytics_enabled=False,  # else Gradio tells its makers of every start
        delete_cache=(CLEANING_SECONDS, settings.files_kept_seconds),
    )
    with page:
        screen = Screen(gateway, say_it)
        heading = gr.HTML(f"<h1>{TITLE}</h1>", elem_id="heading")
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=5, min_width=280, elem_id="main"):
                Talk(screen)
            with gr.Column(scale=3, min_width=280, elem_id="side"):
                with gr.Accordion(say_it("pictures"), elem_id="pictures"):
                    Blending(screen)
                with gr.Accordion(say_it("documents"), open=False, elem_id="documents"):
                    documents = Documents(screen)
                with gr.Accordion(say_it("services"), open=False, elem_id="services-panel"):
                    services = Services(screen)
                with gr.Accordion(say_it("key"), open=False, elem_id="key-panel"):
                    Key(screen)
        _restore_when_opened(page, screen, heading, documents, services)
    page.queue(default_concurrency_limit=settings.at_once)
    return page


def _restore_when_opened(
    page: gr.Blocks, screen: Screen, heading: gr.HTML, documents: Documents, services: Services
) -> None:
    async def restore(
        session: Session, kept: Any, key: str, collection: str, request: gr.Request
    ) -> dict[Any, Any]:
        language = language_of(request)
        session.recall(kept)
        session.shown = await screen.fetch(session.turns, key)
        subtitle = say(language, "subtitle")
        return {
            **screen.settled(session, language),
            heading: f"<h1>{TITLE}</h1><p>{subtitle}</p>",
            documents.collection: collection,
            services.states: await services.look(key, request),
        }

    page.load(
        restore,
        [screen.session, screen.turns, screen.key, screen.collection],
        [*screen.outputs, heading, documents.collection, services.states],
        show_progress="hidden",
        api_visibility="private",
    )
