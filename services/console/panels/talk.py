"""The box that takes anything, the picture on its way, and the conversation."""

import asyncio
from typing import Any

import gradio as gr

from kit.errors import ServiceError
from services.console import cards, pictures
from services.console.panels.screen import Screen, Updates, language_of, place
from services.console.panels.session import Session
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
        kept = [screen.session, screen.turns, screen.key, screen.collection]
        outputs = [*screen.outputs, self.note]
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        speak.click(None, js=LISTEN, api_visibility="private")
        # In two steps: what streams its progress must not touch the box, where one may be typing.
        self.box.submit(
            self.take,
            [self.box, self.context, self.seed, self.steps, screen.session, screen.collection],
            [self.box, self.note],
            trigger_mode="multiple",
            **quiet,
        ).then(
            self.send,
            [screen.session, screen.turns, screen.key],
            outputs,
            trigger_mode="multiple",
            **quiet,
        )
        screen.conversation.pressed(
            self.pressed,
            kept,
            [*outputs, self.source],
            trigger_mode="multiple",
            **quiet,
        )
        screen.cancel.click(self.cancel, [screen.session, screen.key], [self.note], **quiet)
        clear.click(self.clear, [screen.session], outputs, **quiet)

    async def take(
        self,
        box: dict[str, Any],
        context: str | None,
        seed: str | None,
        steps: str | None,
        session: Session,
        collection: str,
        request: gr.Request,
    ) -> dict[Any, Any]:
        """Take what stands in the box, and empty it."""
        language = language_of(request)
        try:
            wish = await asyncio.to_thread(_wish, box, context, seed, steps, language)
        except Unclear as problem:
            return {self.note: cards.note(str(problem), is_problem=True)}
        session.taken.append(wish.model_copy(update={"collection": collection}))
        return {self.box: gr.MultimodalTextbox({"text": "", "files": []}), self.note: ""}

    async def send(self, session: Session, kept: Any, key: str, request: gr.Request) -> Updates:
        """Carry out the oldest wish that was taken."""
        session.recall(kept)
        if not session.taken:  # saying nothing would empty the note that tells why
            yield {self.note: gr.skip()}
            return
        wish = session.taken.pop(0)
        async for updates in self._carry_out(wish, session, key, language_of(request)):
            yield updates

    async def pressed(
        self,
        session: Session,
        kept: Any,
        key: str,
        collection: str,
        event: gr.EventData,
        request: gr.Request,
    ) -> Updates:
        """Do what a button of the conversation says."""
        language = language_of(request)
        session.recall(kept)
        if event.action == "source":
            yield await self._source(event, key, language)
            return
        wish = _pressed_wish(event, session, collection)
        if wish is not None:
            yield {self.note: ""}
            async for updates in self._carry_out(wish, session, key, language):
                yield updates

    async def _carry_out(self, wish: Wish, session: Session, key: str, language: str) -> Updates:
        before = session.asked_before(wish.collection)
        asked = wish.model_copy(update={"conversation_id": before})
        progress = carry_out(self.screen.gateway, asked, key, language)
        async for updates in self.screen.carry_out(progress, session, key, language, wish):
            yield updates

    async def _source(self, event: gr.EventData, key: str, language: str) -> dict[Any, Any]:
        try:
            found = await self.screen.gateway.document(event.collection, event.document, key)
        except ServiceError as error:
            problem = problem_of(error, language)
            return {self.note: cards.note(problem, is_problem=True)}
        return {self.source: cards.source(found, int(event.start), int(event.end), language)}

    async def cancel(self, session: Session, key: str, request: gr.Request) -> str:
        """Cancel the pictures on their way; their own streams then tell the end."""
        try:
            for painting in session.paintings:
                await self.screen.gateway.cancel(painting.job_id, key)
        except ServiceError as error:
            return cards.note(problem_of(error, language_of(request)), is_problem=True)
        return ""

    def clear(self, session: Session, request: gr.Request) -> dict[Any, Any]:
        """Forget the conversation and its pictures."""
        session.is_recalled = True
        session.forget()
        return {**self.screen.settled(session, language_of(request)), self.note: ""}


def _pressed_wish(event: gr.EventData, session: Session, collection: str) -> Wish | None:
    """Return what a button asks for: another intent, the same picture, or an example."""
    if event.action == "intent":
        wish = session.withdrawn(event.turn)
        return wish and wish.model_copy(update={"intent": event.intent})
    if event.action == "again":
        turn = next((turn for turn in session.turns if turn.id == event.turn), None)
        if turn is None:
            return None
        same = {"intent": "draw", "seed": int(event.seed)}
        return session.wish_of(turn).model_copy(update=same)
    return Wish(text=event.text, collection=collection)


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
