"""What one open page remembers between its events, of which several may run at once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from services.console.painting import Painting
from services.console.schemas import Turn, Wish

MOST_TURNS = 30  # a browser keeps about 5 MB for a site
MOST_PICTURES = 24

Item = tuple[str, str]
"""A picture's file and its caption."""


@dataclass(frozen=True)
class Shown:
    """Pictures for the page: small ones by address, and the gallery's, newest first."""

    thumbnails: dict[str, str] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)

    def below(self, newer: "Shown") -> "Shown":
        """Return these pictures after newer ones."""
        items = [*newer.items, *(item for item in self.items if item not in newer.items)]
        return Shown(self.thumbnails | newer.thumbnails, items[:MOST_PICTURES])


@dataclass
class Session:
    """The conversation, and what is still on its way; each wish adds to it, none replaces it."""

    turns: list[Turn] = field(default_factory=list)
    shown: Shown = field(default_factory=Shown)
    on_their_way: dict[str, tuple[Turn, Painting | None]] = field(default_factory=dict)
    wishes: dict[str, Wish] = field(default_factory=dict)
    """The complete wishes by turn; the browser keeps no attached pictures."""
    taken: list[Wish] = field(default_factory=list)
    """Wishes taken out of the box, and not begun yet."""
    is_recalled: bool = False

    def recall(self, kept: Any) -> None:
        """Take up what the browser kept, once."""
        if not self.is_recalled:
            self.is_recalled = True
            self.turns = recalled(kept)

    @property
    def conversation(self) -> list[Turn]:
        """Return all turns, those on their way last."""
        return [*self.turns, *(turn for turn, _ in self.on_their_way.values())]

    @property
    def paintings(self) -> list[Painting]:
        """Return the pictures on their way."""
        return [painting for _, painting in self.on_their_way.values() if painting is not None]

    def moved(self, turn: Turn, painting: Painting | None) -> bool:
        """Note how far a wish is; tell whether its turn changed."""
        before, _ = self.on_their_way.get(turn.id, (None, None))
        self.on_their_way[turn.id] = turn, painting
        return before != turn

    def completed(self, turn: Turn, pictures: Shown) -> None:
        """Keep a complete turn."""
        self.shown = self.shown.below(pictures)
        self.turns = [*self.turns, turn][-MOST_TURNS:]
        ids = {kept.id for kept in self.conversation}
        self.wishes = {name: wish for name, wish in self.wishes.items() if name in ids}

    def withdrawn(self, turn_id: str) -> Wish | None:
        """Take a complete turn out, and return what was wished."""
        turn = next((turn for turn in self.turns if turn.id == turn_id), None)
        if turn is None:
            return None
        self.turns = [other for other in self.turns if other.id != turn_id]
        return self.wish_of(turn)

    def wish_of(self, turn: Turn) -> Wish:
        """Return what was wished, or what is left of it after a reload."""
        remembered = Wish(text=turn.text, context=turn.context, collection=turn.collection)
        return self.wishes.get(turn.id, remembered)

    def asked_before(self, collection: str) -> str | None:
        """Return the conversation with a collection to go on with."""
        asked = (turn for turn in reversed(self.turns) if turn.collection == collection)
        return next((turn.conversation_id for turn in asked if turn.conversation_id), None)

    def forget(self) -> None:
        """Empty the conversation; what is on its way still comes."""
        self.turns, self.shown, self.wishes = [], Shown(), {}


def recalled(kept: Any) -> list[Turn]:
    """Read turns from the browser; one that an older page wrote and we cannot read is dropped."""
    turns = []
    for one in kept if isinstance(kept, list) else []:
        try:
            turns.append(Turn.model_validate(one))
        except ValueError:
            continue
    return turns[-MOST_TURNS:]


def for_browser(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    """Return what the browser keeps of turns."""
    return [turn.model_dump(mode="json", exclude_defaults=True) for turn in turns]
