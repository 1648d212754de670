"""The box that takes anything, the picture on its way, and the conversation."""

from typing import Any

import gradio as gr

from kit.errors import ServiceError
from services.console import cards, pictures
from services.console.panels.screen import Screen, Shown, Updates, language_of, place, recalled
from services.console.schemas import MAX_SEED, MAX_STEPS, Wish
from services.console.texts import say
from services.console.wishes import carry_out, problem_of

LISTEN = "() => window.switchboard.listen()"
SHOW_DIALOG = """
watch('value', () => {
  const dialog = element.querySelector('dialog');
  if (!dialog) return;
  dialog.showModal();
  dialog.querySelector('mark')?.scrollIntoView({block: 'center'});
});
element.addEventListener('click', event => {
  if (event.target.closest('[data-close]') || event.target.tagName === 'DIALOG')
    element.querySelector('dialog').close();
});
"""


class Talk:
    """Takes wishes from the box and from the buttons of the conversation."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        t = screen.say
        self.box = gr.MultimodalTextbox(
            label=t("wish"),
            placeholder=t("wish_placeholder"),  # type: ignore[arg-type] # it is translated all the same
            elem_id="wish",
            sources=["upload"],
            file_count="multiple",
            lines=1,
            max_lines=8,
            max_plain_text_length=20_000,
            autofocus=True,
        )
        with gr.Row(elem_id="beside"):
            speak = gr.Button(t("speak"), elem_id="speak", size="sm", min_width=90)
            with gr.Accordion(t("more"), open=False, elem_id="more"):
                self.context = gr.Textbox(
                    label=t("context"),
                    placeholder=t("context_placeholder"),
                    lines=4,
                    max_lines=12,
                    elem_id="context",
                )
                with gr.Row():
                    self.seed = self._number("seed")
                    self.steps = self._number("steps")
        self.note = gr.HTML(elem_id="note")
        with gr.Row(elem_id="on-its-way"):
            place(screen.painting)
            place(screen.cancel)
        place(screen.conversation)
        self.source = gr.HTML(elem_id="source", js_on_load=SHOW_DIALOG)
        clear = gr.Button(t("clear"), elem_id="clear", size="sm", variant="secondary")
        self._wire(speak, clear)

    def _number(self, name: str) -> gr.Textbox:
        t = self.screen.say  # Gradio's own number field turns emptiness into 0
        return gr.Textbox(label=t(name), info=t(f"{name}_info"), max_lines=1, elem_id=name)

    def _wire(self, speak: gr.Button, clear: gr.Button) -> None:
        screen = self.screen
        kept = [screen.turns, screen.shown, screen.key, screen.collection]
        outputs = [*screen.outputs, screen.wish, self.note]
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        speak.click(None, js=LISTEN, api_visibility="private")
        self.box.submit(
            self.send,
            [self.box, self.context, self.seed, self.steps, *kept],
            [*outputs, self.box],
            trigger_mode="multiple",
            **quiet,
        )
        screen.conversation.pressed(
            self.pressed,
            [screen.wish, *kept],
            [*outputs, self.source],
            trigger_mode="multiple",
            **quiet,
        )
        screen.cancel.click(self.cancel, [screen.job, screen.key], [self.note], **quiet)
        clear.click(self.clear, None, outputs, **quiet)

    async def send(
        self,
        box: dict[str, Any],
        context: str | None,
        seed: str | None,
        steps: str | None,
        kept: Any,
        shown: Shown,
        key: str,
        collection: str,
        request: gr.Request,
    ) -> Updates:
        """Carry out what stands in the box."""
        language = language_of(request)
        try:
            wish = _wish(box, context, seed, steps, language)
        except Unclear as problem:
            yield {self.note: cards.note(str(problem), is_problem=True)}
            return
        wish = wish.model_copy(update={"collection": collection})
        yield {self.box: gr.MultimodalTextbox({"text": "", "files": []}), self.note: ""}
        async for updates in self._carry_out(wish, kept, shown, key, language):
            yield updates

    async def pressed(
        self,
        last: Wish | None,
        kept: Any,
        shown: Shown,
        key: str,
        collection: str,
        event: gr.EventData,
        request: gr.Request,
    ) -> Updates:
        """Do what a button of the conversation says."""
        language, turns = language_of(request), recalled(kept)
        if event.action == "source":
            yield await self._source(event, key, language)
            return
        if event.action == "intent":
            if not turns:
                return
            kept, was = kept[:-1], turns[-1]
            again = last or Wish(text=was.text, context=was.context, collection=was.collection)
            wish = again.model_copy(update={"intent": event.intent})
        elif event.action == "again":
            wish = Wish(text=event.text, seed=int(event.seed), intent="draw")
        else:
            wish = Wish(text=event.text, collection=collection)
        async for updates in self._carry_out(wish, kept, shown, key, language):
            yield updates

    async def _carry_out(
        self, wish: Wish, kept: Any, shown: Shown, key: str, language: str
    ) -> Updates:
        turns = recalled(kept)
        asked = (turn for turn in reversed(turns) if turn.conversation_id)
        before = next((turn for turn in asked if turn.collection == wish.collection), None)
        if before is not None:
            wish = wish.model_copy(update={"conversation_id": before.conversation_id})
        yield {self.screen.wish: wish, self.note: ""}
        progress = carry_out(self.screen.gateway, wish, key, language)
        async for updates in self.screen.carry_out(progress, turns, shown, key, language):
            yield updates

    async def _source(self, event: gr.EventData, key: str, language: str) -> dict[Any, Any]:
        try:
            found = await self.screen.gateway.document(event.collection, event.document, key)
        except ServiceError as error:
            problem = problem_of(error, language)
            return {self.note: cards.note(problem, is_problem=True)}
        return {self.source: cards.source(found, int(event.start), int(event.end), language)}

    async def cancel(self, job: str, key: str, request: gr.Request) -> str:
        """Cancel the picture on its way; its own stream then tells the end."""
        if not job:
            return ""
        try:
            await self.screen.gateway.cancel(job, key)
        except ServiceError as error:
            return cards.note(problem_of(error, language_of(request)), is_problem=True)
        return ""

    def clear(self, request: gr.Request) -> dict[Any, Any]:
        """Forget the conversation and its pictures."""
        language = language_of(request)
        settled = self.screen.settled([], Shown(), language)
        return {**settled, self.screen.wish: None, self.note: ""}


class Unclear(Exception):
    """What stands in the box cannot be sent; the message says why."""


def _wish(
    box: dict[str, Any], context: str | None, seed: str | None, steps: str | None, language: str
) -> Wish:
    """Read the box and what belongs to it; raises Unclear."""
    try:
        attached, texts = pictures.sorted_files(box.get("files") or [])
    except pictures.Unusable as file:
        raise Unclear(say(language, "bad_file", name=str(file))) from None
    text = (box.get("text") or "").strip()
    if not text:
        raise Unclear(say(language, "empty_wish"))
    return Wish(
        text=text,
        context="\n\n".join(filter(None, [(context or "").strip(), texts.strip()])),
        pictures=attached,
        seed=_whole(seed, "seed", 0, MAX_SEED - 1, language),
        steps=_whole(steps, "steps", 1, MAX_STEPS, language),
    )


def _whole(typed: str | None, name: str, least: int, most: int, language: str) -> int | None:
    """Read a number that may be left out."""
    typed = (typed or "").strip()
    if not typed:
        return None
    if not (typed.isdecimal() and least <= int(typed) <= most):
        field = say(language, name)
        raise Unclear(say(language, "bad_number", field=field, least=least, most=most))
    return int(typed)
