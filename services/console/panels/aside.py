"""Who takes work now, and the visitor's key."""

from typing import Any

import gradio as gr

from kit.errors import ServiceError, Unauthorized
from services.console import cards
from services.console.panels.screen import Screen, language_of
from services.console.texts import say
from services.console.wishes import problem_of


class Services:
    """Shows the services' readiness as the gateway sees it."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.states = gr.HTML(elem_id="services")
        refresh = gr.Button(screen.say("refresh"), size="sm", elem_id="refresh")
        refresh.click(
            self.look,
            [screen.key],
            [self.states],
            show_progress="hidden",
            api_visibility="private",
        )

    async def look(self, key: str, request: gr.Request) -> str:
        """Ask the gateway."""
        language = language_of(request)
        try:
            return cards.services(await self.screen.gateway.services(key), language)
        except ServiceError as error:
            return cards.note(problem_of(error, language), is_problem=True)


class Key:
    """Keeps the key in the browser; the console itself stores none."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        t = screen.say
        self.box = gr.Textbox(
            label=t("key"), info=t("key_info"), type="password", elem_id="key", max_lines=1
        )
        with gr.Row():
            keep = gr.Button(t("key_save"), size="sm", elem_id="keep-key", min_width=80)
            forget = gr.Button(t("key_forget"), size="sm", elem_id="forget-key", min_width=80)
        self.note = gr.HTML(elem_id="key-note")
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        outputs = [screen.key, self.box, self.note]
        gr.on([keep.click, self.box.submit], self.keep, [self.box], outputs, **quiet)
        forget.click(self.forget, None, outputs, **quiet)

    async def keep(self, key: str | None, request: gr.Request) -> tuple[Any, Any, str]:
        """Keep a key that the gateway knows."""
        language, key = language_of(request), (key or "").strip()
        try:
            await self.screen.gateway.services(key)
        except Unauthorized:
            problem = say(language, "key_unknown" if key else "key_needed")
            return gr.skip(), gr.skip(), cards.note(problem, is_problem=True)
        except ServiceError as error:
            problem = problem_of(error, language)
            return gr.skip(), gr.skip(), cards.note(problem, is_problem=True)
        return key, "", cards.note(say(language, "key_kept" if key else "key_forgotten"))

    def forget(self, request: gr.Request) -> tuple[str, str, str]:
        """Forget the key."""
        return "", "", cards.note(say(language_of(request), "key_forgotten"))
