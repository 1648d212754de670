"""Expand the phrase files: templates with {lists}, (one|or another) and [optional] parts."""

import hashlib
import random
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")
OPTIONAL = re.compile(r"\[([^\[\]]*)\]")
FILLER = re.compile(r"\{(\w+)\}")
LARGE_LIST = 24  # shorter lists (cities, clock times) are shared by both splits


@dataclass(frozen=True, slots=True)
class Grammar:
    """The phrases of one language: word lists, and templates by intent."""

    lists: dict[str, list[str]]
    intents: dict[str, list[str]]

    @classmethod
    def read(cls, path: Path) -> "Grammar":
        """Read a phrase file; each multi-line string holds one entry per line."""
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        parts = {
            table: {name: [line for line in block.split("\n") if line] for name, block in entries.items()}
            for table, entries in tables.items()
        }
        return cls(parts["lists"], parts["intents"])

    def extended(self, more: dict[str, list[str]]) -> "Grammar":
        """Return a copy whose lists also hold what the public sets offer."""
        lists = {name: entries + more.get(name, []) for name, entries in self.lists.items()}
        return Grammar(lists, self.intents)

    def of_split(self, split: str) -> "Grammar":
        """Return the templates and list entries of one split: nothing of dev appears in train."""
        lists = {
            name: [e for e in entries if len(entries) < LARGE_LIST or split_of(e) == split]
            for name, entries in self.lists.items()
        }
        intents = {
            intent: [t for t in templates if split_of(intent + t) == split]
            for intent, templates in self.intents.items()
        }
        return Grammar(lists, intents)

    def expand(self, template: str, rng: random.Random) -> str:
        """Fill a template at random."""
        chosen = CHOICE.sub(lambda m: rng.choice(m[1].split("|")), template)
        kept = OPTIONAL.sub(lambda m: m[1] if rng.random() < 0.5 else "", chosen)
        filled = FILLER.sub(lambda m: rng.choice(self.lists[m[1]]), kept)
        return " ".join(filled.split())


def split_of(text: str) -> str:
    """Put a fifth of all texts aside as dev, always the same ones."""
    digest = hashlib.sha256(text.encode()).digest()
    return "dev" if digest[0] % 5 == 0 else "train"
