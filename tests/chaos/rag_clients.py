"""Clients that write, delete and read documents without giving up, and note each broken promise."""

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import httpx2

RETRY_SECONDS = 0.1
READ_PAUSE_SECONDS = 0.05
WRITE_PAUSE_SECONDS = 0.8  # at most: about ten uploads come between two kills
COLLECTION = "/v1/collections/docs"
PLACE = re.compile(r"edition(\d+) part(\d+) of(\d+)")
COLLECTIONS_BODY = {"chunking": {"mode": "paragraph"}}


@dataclass
class Kept:
    """What one document should be; `edition` counts its contents, 0 when it is deleted."""

    edition: int
    parts: int

    def body(self, name: str) -> dict[str, Any]:
        """Return the document as it is sent."""
        words = "Whatever is acknowledged stays. " * 4
        parts = [
            f"{name} edition{self.edition} part{n} of{self.parts}. {words}"
            for n in range(self.parts)
        ]
        return {"id": name, "title": name, "text": "\n\n".join(parts), "metadata": {"doc": name}}


class Clients:
    """Writers, each with documents of its own, and readers that look at all of them."""

    def __init__(self, urls: Sequence[str], seed: int) -> None:
        self._random = Random(seed)
        self._urls = urls
        self._client = httpx2.AsyncClient(timeout=15.0, trust_env=False)
        self.kept: dict[str, Kept] = {}
        self.heard: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.violations: list[str] = []
        self._seen: dict[str, int] = {}
        self._uncertain: set[str] = set()

    @property
    def ingests(self) -> int:
        """Return how many uploads were acknowledged."""
        return self.done["created"] + self.done["replaced"] + self.done["sent again"]

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def open_collection(self) -> None:
        """Make the collection."""
        await self._insist("PUT", COLLECTION, json=COLLECTIONS_BODY)

    async def write(self, writer: int, ingests: int) -> None:
        """Do one thing after the other until so many uploads are acknowledged by all writers."""
        random, names = Random(f"{writer}-{self._random.random()}"), list[str]()
        while self.ingests < ingests:
            await asyncio.sleep(random.uniform(0, WRITE_PAUSE_SECONDS))
            alive = [name for name in names if self.kept[name].edition]
            chance = random.random() if alive else 0.0
            if chance < 0.65:
                names.append(f"w{writer}n{len(names)}")
                await self._put(names[-1], 1, random, "created")
            elif chance < 0.85:
                name = random.choice(alive)
                await self._put(name, self.kept[name].edition + 1, random, "replaced")
            elif chance < 0.92:
                await self._send_again(random.choice(alive))
            else:
                await self._delete(random.choice(alive))

    async def read(self) -> None:
        """Look at documents, until cancelled, and note those that are seen in part."""
        while True:
            await asyncio.sleep(READ_PAUSE_SECONDS)
            if not self.kept:
                continue
            name = self._random.choice(list(self.kept))
            mode = self._random.choice(("keyword", "dense", "hybrid"))
            before = self.kept[name].edition if name not in self._uncertain else -1
            found = await self._found(name, mode)
            if found is None:
                continue
            self.done["looks"] += 1
            self._judge(name, before, found)

    def _judge(self, name: str, before: int, found: list[tuple[int, int, int]]) -> None:
        editions = {edition for edition, _, _ in found}
        if not editions:
            return
        if len(editions) > 1 or len(found) != found[0][2]:
            self.violations.append(f"{name} was seen in part: {sorted(found)}")
        edition = max(editions)
        if edition < self._seen.get(name, 0):
            self.violations.append(f"{name} went back to edition {edition}")
        self._seen[name] = max(self._seen.get(name, 0), edition)
        if before == 0:
            self.violations.append(f"{name} was seen after its deletion")

    async def check(self) -> Counter[str]:
        """Compare everything with what was acknowledged."""
        ends: Counter[str] = Counter()
        for name, kept in self.kept.items():
            answer = await self._insist("GET", f"{COLLECTION}/documents/{name}", absent=True)
            if not kept.edition:
                ends["deleted"] += 1
                if answer.status_code != 404:
                    self.violations.append(f"{name} is deleted and still there")
                continue
            if answer.status_code == 404:
                ends["lost"] += 1
                continue
            found = answer.json()
            ends[found["status"]] += 1
            if found["text"] != kept.body(name)["text"]:
                self.violations.append(f"{name} has another text")
            places = await self._found(name, "keyword")
            expected = [(kept.edition, part, kept.parts) for part in range(kept.parts)]
            if sorted(places or []) != expected:
                self.violations.append(f"{name} is found as {places}")
        if ends["lost"]:
            self.violations.append(f"{ends['lost']} documents are lost")
        return ends

    async def waiting(self) -> int:
        """Return how many documents wait."""
        answer = await self._insist("GET", COLLECTION)
        return int(answer.json()["waiting"])

    async def _put(self, name: str, edition: int, random: Random, what: str) -> None:
        new = Kept(edition, random.randint(1, 6))
        self._uncertain.add(name)
        await self._insist("POST", f"{COLLECTION}/documents", json={"documents": [new.body(name)]})
        self.kept[name] = new
        self._uncertain.discard(name)
        self.done[what] += 1

    async def _send_again(self, name: str) -> None:
        body = {"documents": [self.kept[name].body(name)]}
        first = await self._insist("GET", f"{COLLECTION}/documents/{name}")
        answer = await self._insist("POST", f"{COLLECTION}/documents", json=body)
        if answer.json()["documents"][0]["version"] != first.json()["version"]:
            self.violations.append(f"{name} has a new version without a change")
        self.done["sent again"] += 1

    async def _delete(self, name: str) -> None:
        self._uncertain.add(name)
        await self._insist("DELETE", f"{COLLECTION}/documents/{name}", absent=True)
        self.kept[name] = Kept(0, 0)
        self._seen.pop(name, None)
        self._uncertain.discard(name)
        self.done["deleted"] += 1

    async def _found(self, name: str, mode: str) -> list[tuple[int, int, int]] | None:
        """Return edition, part and number of parts of each passage; none when it cannot be told."""
        body = {
            "query": f"{name} whatever acknowledged",
            "k": 100,
            "mode": mode,
            "filter": {"doc": name},
        }
        try:
            answer = await self._client.post(
                self._random.choice(self._urls) + f"{COLLECTION}/search", json=body
            )
        except httpx2.TransportError:
            return None
        if not answer.is_success:
            self._note(answer)
            return None
        places = [PLACE.search(one["text"]) for one in answer.json()["results"]]
        return [(int(p[1]), int(p[2]), int(p[3])) for p in places if p is not None]

    async def _insist(
        self, method: str, path: str, *, absent: bool = False, json: Any = None
    ) -> httpx2.Response:
        """Ask any replica until one answers."""
        while True:
            try:
                url = self._random.choice(self._urls)
                answer = await self._client.request(method, url + path, json=json)
            except httpx2.TransportError as error:
                self.heard[type(error).__name__] += 1
            else:
                self._note(answer)
                if answer.is_success or (absent and answer.status_code == 404):
                    return answer
            await asyncio.sleep(RETRY_SECONDS)

    def _note(self, answer: httpx2.Response) -> None:
        status = answer.status_code
        self.heard[str(status)] += 1
        if status >= 500 and status != 503:
            self.violations.append(f"a request was answered {status}: {answer.text[:200]}")
