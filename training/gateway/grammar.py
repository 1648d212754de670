"""Expand the phrase files: templates with {lists}, (one|or another) and [optional] parts."""

import hashlib
import random
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")
OPTIONAL = re.compile(r"\[([^\[\]]*)\]")
FILLER = re.compile(r"\{(\w+)\}")
LARGE_LIST = 24  # shorter lists (cities, clock times) are shared by both splits


@dataclass(frozen=True, slots=True)
class Grammar:
    """The phrases of one language: word lists, templates by intent, and fillers from public sets."""

    lists: dict[str, list[str]]
    intents: dict[str, list[str]]
    public: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Grammar":
        """Read a phrase file; each multi-line string holds one entry per line."""
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        parts = {
            table: {
                name: [line for line in block.split("\n") if line]
                for name, block in entries.items()
            }
            for table, entries in tables.items()
        }
        return cls(parts["lists"], parts["intents"])

    def extended(self, more: dict[str, list[str]]) -> "Grammar":
        """Return a copy that takes half of its fillers from public sets where they offer some."""
        return Grammar(self.lists, self.intents, more)

    def of_split(self, split: str) -> "Grammar":
        """Return the templates and list entries of one split: nothing of dev appears in train."""
        intents = {
            intent: [t for t in templates if split_of(intent + t) == split]
            for intent, templates in self.intents.items()
        }
        return Grammar(_part(self.lists, split), intents, _part(self.public, split))

    def expand(self, template: str, rng: random.Random) -> str:
        """Fill a template at random; entries of our lists may hold lists themselves."""
        chosen = CHOICE.sub(lambda m: rng.choice(m[1].split("|")), template)
        kept = OPTIONAL.sub(lambda m: m[1] if rng.random() < 0.5 else "", chosen)
        return " ".join(FILLER.sub(lambda m: self._fill(m[1], rng), kept).split())

    def _fill(self, name: str, rng: random.Random) -> str:
        if name in self.public and rng.random() < 0.5:
            return rng.choice(self.public[name])
        return self.expand(rng.choice(self.lists[name]), rng)


def _part(lists: dict[str, list[str]], split: str) -> dict[str, list[str]]:
    return {
        name: [e for e in entries if len(entries) < LARGE_LIST or split_of(e) == split]
        for name, entries in lists.items()
    }


def split_of(text: str) -> str:
    """Put a fifth of all texts aside as dev, always the same ones."""
    digest = hashlib.sha256(text.encode()).digest()
    return "dev" if digest[0] % 5 == 0 else "train"
