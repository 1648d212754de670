"""What all panels share: what is kept, and where results are shown."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

import gradio as gr

from kit.errors import ServiceError
from services.console import cards, pictures
from services.console.client import Gateway
from services.console.painting import Painting
from services.console.panels.session import (
    MOST_PICTURES,
    Item,
    Session,
    Shown,
    for_browser,
)
from services.console.schemas import Turn, Wish
from services.console.texts import spoken

# The browser's copy is scrambled with this. It is no secret: whoever has the browser has the key.
SCRAMBLED_WITH = "switchboard-console"
CLICKS = """
element.addEventListener('click', event => {
  const pressed = event.target.closest('[data-action]');
  if (pressed) trigger('pressed', {...pressed.dataset});
});
"""

Updates = AsyncGenerator[dict[Any, Any]]


class Screen:
    """The states, and the components in which more than one panel shows its results."""

    def __init__(self, gateway: Gateway, say: gr.I18n) -> None:
        self.gateway = gateway
        self.say = say
        self.key = _kept("key", "")
        self.turns = _kept("conversation", [])
        self.collection = _kept("collection", "default")
        self.session = gr.State(Session())
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
        """Return what `carry_out` changes; the session changes in place."""
        return [self.painting, self.cancel, self.conversation, self.gallery, self.turns]

    async def carry_out(
        self,
        progress: AsyncIterator[tuple[Turn, Painting | None]],
        session: Session,
        key: str,
        language: str,
        wish: Wish | None = None,
    ) -> Updates:
        """Show a wish while it is carried out, then keep what came of it."""
        turn: Turn | None = None
        try:
            async for turn, painting in progress:
                if wish is not None:
                    session.wishes[turn.id] = wish
                is_new = session.moved(turn, painting)
                yield self._way(session, language) | self._told(session, language, is_new)
            pictures_of = await self.fetch([turn] if turn else [], key)
        finally:  # also when the page is closed in between
            if turn is not None:
                del session.on_their_way[turn.id]
        if turn is not None:
            session.completed(turn, pictures_of)
            yield self.settled(session, language)

    def settled(self, session: Session, language: str) -> dict[Any, Any]:
        """Return the whole page as it is now."""
        items = session.shown.items
        return {
            **self._way(session, language),
            **self._told(session, language, is_new=True),
            self.turns: for_browser(session.turns),
            self.gallery: gr.Gallery(items, visible=bool(items)),
        }

    def _way(self, session: Session, language: str) -> dict[Any, Any]:
        paintings = session.paintings
        return {
            self.painting: cards.paintings(paintings, language),
            self.cancel: gr.Button(visible=any(painting.job_id for painting in paintings)),
        }

    def _told(self, session: Session, language: str, is_new: bool) -> dict[Any, Any]:
        if not is_new:
            return {}
        thumbnails = session.shown.thumbnails
        turns, waiting = session.conversation, session.on_their_way.keys()
        return {self.conversation: cards.conversation(turns, thumbnails, language, waiting)}

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


def language_of(request: gr.Request) -> str:
    """Return the visitor's language."""
    return spoken(request.headers.get("accept-language", ""))
