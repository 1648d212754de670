"""An embedder that remembers on disk what it has read: a corpus is embedded once, whatever changes."""

import hashlib
import sqlite3
from pathlib import Path

import numpy as np

from services.rag import model
from services.rag.model import Embedder, Vector
from services.rag.settings import Settings


class Remembering:
    """The service's own embedder, with its vectors in an SQLite file."""

    def __init__(self, file: Path, embedder: Embedder | None = None) -> None:
        self._embedder = embedder or model.load(Settings())
        self.name, self.revision = self._embedder.name, self._embedder.revision
        self.backend = self._embedder.backend
        file.parent.mkdir(parents=True, exist_ok=True)
        self._store = sqlite3.connect(file, check_same_thread=False, timeout=60)
        self._store.execute("create table if not exists vectors (key blob primary key, value blob)")

    def embed(self, texts: list[str]) -> list[Vector]:
        """Return a vector of unit length per text; only new ones are computed."""
        keys = [self._key(text) for text in texts]
        known = {key: found for key in set(keys) if (found := self._recall(key)) is not None}
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if new:
            made = self._embedder.embed(list(new.values()))
            known |= dict(zip(new, made, strict=True))
            rows = [(key, known[key].astype(np.float32).tobytes()) for key in new]
            self._store.executemany("insert or replace into vectors values (?, ?)", rows)
            self._store.commit()
        return [known[key] for key in keys]

    def _key(self, text: str) -> bytes:
        about = f"{self.name}@{self.revision}@{self.backend}\0{text}"
        return hashlib.blake2b(about.encode(), digest_size=16).digest()

    def _recall(self, key: bytes) -> Vector | None:
        row = self._store.execute("select value from vectors where key = ?", (key,)).fetchone()
        return None if row is None else np.frombuffer(row[0], dtype=np.float32)
