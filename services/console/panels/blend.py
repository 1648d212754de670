"""The gallery, and two pictures mixed into one."""

from typing import Any

import gradio as gr

from services.console import cards, pictures
from services.console.panels.screen import Screen, Updates, language_of, place
from services.console.panels.session import Session
from services.console.schemas import Blend
from services.console.texts import say
from services.console.wishes import carry_out_blend

TO_THE_TOP = "() => document.getElementById('painting')?.scrollIntoView({block: 'center'})"


class Blending:
    """Takes two pictures, chosen in the gallery or uploaded, and a share."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        t = screen.say
        place(screen.gallery)
        self.chosen = gr.State(None)
        with gr.Accordion(t("blend_title"), open=False, elem_id="blend"):
            with gr.Row():
                self.sides = [self._side("first"), self._side("second")]
            self.share = gr.Slider(
                0, 100, 50, step=5, label=t("share"), elem_id="share", buttons=[]
            )
            self.words = gr.Textbox(
                label=t("words"), placeholder=t("words_placeholder"), elem_id="words"
            )
            self.button = gr.Button(t("blend_button"), variant="primary", elem_id="do-blend")
            self.note = gr.HTML(elem_id="blend-note")
        self._wire()

    def _side(self, name: str) -> tuple[gr.Image, gr.Button]:
        t = self.screen.say
        with gr.Column(min_width=120):
            image = gr.Image(
                label=t(name),
                type="filepath",
                sources=["upload"],
                height=150,
                elem_id=name,
                buttons=[],
            )
            take = gr.Button(t(f"take_{name}"), size="sm", elem_id=f"take-{name}")
        return image, take

    def _wire(self) -> None:
        screen = self.screen
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        screen.gallery.select(self.choose, None, [self.chosen], **quiet)
        for image, take in self.sides:
            take.click(self.take, [self.chosen, screen.session], [image, self.note], **quiet)
        images = [image for image, _ in self.sides]
        self.button.click(
            self.blend,
            [*images, self.share, self.words, screen.session, screen.turns, screen.key],
            [*screen.outputs, self.note],
            **quiet,
        )
        self.button.click(None, js=TO_THE_TOP, api_visibility="private")

    def choose(self, event: gr.SelectData) -> int:
        """Remember which picture of the gallery is chosen."""
        return int(event.index)

    def take(self, chosen: int | None, session: Session, request: gr.Request) -> tuple[Any, str]:
        """Put the chosen picture on one side."""
        items = session.shown.items
        if chosen is None or chosen >= len(items):
            problem = say(language_of(request), "choose_first")
            return gr.skip(), cards.note(problem, is_problem=True)
        return items[chosen][0], ""

    async def blend(
        self,
        first: str | None,
        second: str | None,
        share: int,
        words: str | None,
        session: Session,
        kept: Any,
        key: str,
        request: gr.Request,
    ) -> Updates:
        """Mix the two pictures and show the result in the conversation."""
        language = language_of(request)
        if not (first and second):
            problem = say(language, "blend_needs_two")
            yield {self.note: cards.note(problem, is_problem=True)}
            return
        yield {self.note: ""}
        both = (pictures.encoded(first), pictures.encoded(second))
        blend = Blend(pictures=both, second_percent=int(share), words=(words or "").strip())
        text = say(language, "blend_wish", first=100 - int(share), second=int(share))
        text = f"{text} · {blend.words}" if blend.words else text
        progress = carry_out_blend(self.screen.gateway, blend, text, key, language)
        session.recall(kept)
        async for updates in self.screen.carry_out(progress, session, key, language):
            yield updates
