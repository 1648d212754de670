"""What all panels share: what is kept, and where results are shown."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from kit.errors import ServiceError
from services.console import cards, pictures
from services.console.client import Gateway
from services.console.painting import Painting
from services.console.schemas import Turn
from services.console.texts import spoken

MOST_TURNS = 30  # a browser keeps about 5 MB for a site
MOST_PICTURES = 24
# The browser's copy is scrambled with this. It is no secret: whoever has the browser has the key.
SCRAMBLED_WITH = "switchboard-console"
CLICKS = """
element.addEventListener('click', event => {
  const pressed = event.target.closest('[data-action]');
  if (pressed) trigger('pressed', {...pressed.dataset});
});
"""

Updates = AsyncGenerator[dict[Any, Any]]
Item = tuple[str, str]
"""A picture's file and its caption."""


@dataclass(frozen=True)
class Shown:
    """The pictures on the page: small ones by address, and the gallery's, newest first."""

    thumbnails: dict[str, str] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)

    def below(self, newer: "Shown") -> "Shown":
        """Return these pictures after newer ones."""
        items = [*newer.items, *(item for item in self.items if item not in newer.items)]
        return Shown(self.thumbnails | newer.thumbnails, items[:MOST_PICTURES])


class Screen:
    """The states, and the components in which more than one panel shows its results."""

    def __init__(self, gateway: Gateway, say: gr.I18n) -> None:
        self.gateway = gateway
        self.say = say
        self.key = _kept("key", "")
        self.turns = _kept("conversation", [])
        self.collection = _kept("collection", "default")
        self.job = gr.State("")
        self.wish = gr.State(None)
        self.shown = gr.State(Shown())
        self.painting = gr.HTML(elem_id="painting", render=False)
        self.cancel = gr.Button(
            say("cancel"), visible=False, elem_id="cancel", size="sm", render=False
        )
        self.conversation = gr.HTML(elem_id="conversation", js_on_load=CLICKS, render=False)
        self.gallery = gr.Gallery(
            label=say("gallery"),
            show_label=False,
            elem_id="gallery",
            visible=False,
            columns=3,
            fit_columns=False,
            interactive=False,
            object_fit="cover",
            buttons=["download", "fullscreen"],
            render=False,
        )

    @property
    def outputs(self) -> list[Any]:
        """Return what `carry_out` changes."""
        visible = [self.painting, self.cancel, self.conversation, self.gallery]
        return [*visible, self.job, self.turns, self.shown]

    async def carry_out(
        self,
        progress: AsyncIterator[tuple[Turn, Painting | None]],
        turns: Sequence[Turn],
        shown: Shown,
        key: str,
        language: str,
    ) -> Updates:
        """Show a wish while it is carried out, then keep what came of it."""
        turn: Turn | None = None
        job = ""
        async for now, painting in progress:
            updates: dict[Any, Any] = {self.painting: cards.painting(painting, language)}
            if painting is not None and painting.job_id != job:
                job = painting.job_id
                updates |= {self.job: job, self.cancel: gr.Button(visible=True)}
            if now != turn:
                told = cards.conversation([*turns, now], shown.thumbnails, language)
                updates[self.conversation] = told
            turn = now
            yield updates
        if turn is not None:
            shown = shown.below(await self.fetch([turn], key))
            yield self.settled([*turns, turn][-MOST_TURNS:], shown, language)

    def settled(self, turns: Sequence[Turn], shown: Shown, language: str) -> dict[Any, Any]:
        """Return the page with nothing on its way."""
        return {
            self.painting: "",
            self.cancel: gr.Button(visible=False),
            self.job: "",
            self.turns: [turn.model_dump(mode="json", exclude_defaults=True) for turn in turns],
            self.shown: shown,
            self.gallery: gr.Gallery(shown.items, visible=bool(shown.items)),
            self.conversation: cards.conversation(turns, shown.thumbnails, language),
        }

    async def fetch(self, turns: Sequence[Turn], key: str) -> Shown:
        """Fetch the turns' pictures, newest first; what is no longer kept is left out."""
        wanted = [(turn, picture) for turn in reversed(turns) for picture in turn.pictures]
        fetched = await asyncio.gather(
            *(
                self._fetch(turn, picture.url, picture.seed, key)
                for turn, picture in wanted[:MOST_PICTURES]
            )
        )
        found = [one for one in fetched if one is not None]
        return Shown({url: small for url, small, _ in found}, [item for _, _, item in found])

    async def _fetch(
        self, turn: Turn, url: str, seed: int, key: str
    ) -> tuple[str, str, Item] | None:
        try:
            content = await self.gateway.picture(url, key)
        except ServiceError:
            return None
        small = await asyncio.to_thread(pictures.thumbnail, content)
        folder = self.gallery.GRADIO_CACHE
        path = await asyncio.to_thread(pictures.kept, content, f"seed-{seed}", folder)
        return url, small, (path, f"{turn.text} · {seed}")


def place(component: Any) -> None:
    """Put a component that exists already here on the page."""
    component.render()


def _kept(name: str, usual: Any) -> gr.BrowserState:
    return gr.BrowserState(usual, storage_key=f"switchboard-{name}", secret=SCRAMBLED_WITH)


def recalled(kept: Any) -> list[Turn]:
    """Read turns from the browser; one that an older page wrote and we cannot read is dropped."""
    turns = []
    for one in kept if isinstance(kept, list) else []:
        try:
            turns.append(Turn.model_validate(one))
        except ValueError:
            continue
    return turns


def language_of(request: gr.Request) -> str:
    """Return the visitor's language."""
    return spoken(request.headers.get("accept-language", ""))
