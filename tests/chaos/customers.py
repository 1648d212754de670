"""Clients that never give up, and a ledger of all that they were told."""

import asyncio
import hashlib
import io
import json
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx2
from PIL import Image

FINAL = ("done", "failed", "cancelled")
RETRY_SECONDS = 0.1
GIVEN_UP = "Given up after 3 attempts: "


@dataclass
class Order:
    """What one customer wants, and what they have heard of it."""

    tenant: str
    key: str
    body: dict[str, Any]
    cancels: bool = False
    id: str = ""
    ends: list[dict[str, Any]] = field(default_factory=list)

    @property
    def where(self) -> str:
        """Return the path of the job."""
        return f"/v1/images/{self.id}"


class Customers:
    """Orders, follows and checks pictures over HTTP; notes each broken promise."""

    def __init__(self, client: httpx2.AsyncClient, seed: int) -> None:
        self._client = client
        self._random = Random(seed)
        self.orders: list[Order] = []
        self.heard: Counter[str] = Counter()
        self.violations: list[str] = []

    async def order(self, kind: str = "picture") -> None:
        """Order a picture of a kind and stay until its end."""
        number = len(self.orders)
        wish = {
            "prompt": f"{kind} {number}",
            "seed": number,
            "steps": self._random.choice((4, 8, 16)),
            "count": self._random.choice((1, 1, 2)),
        }
        tenant = f"tenant{self._random.randrange(5)}"
        order = Order(tenant, f"order-{number}", wish, cancels=self._random.random() < 0.1)
        self.orders.append(order)
        accepted = await self._insist("POST", "/v1/images", order, json=wish)
        order.id = accepted.json()["id"]
        if order.cancels:
            await asyncio.sleep(self._random.random())
            await self._insist("DELETE", order.where, order)
        async for event in self._events(order):
            if event["kind"] in FINAL:
                order.ends.append(event["data"])

    async def _insist(self, method: str, path: str, order: Order, **parts: Any) -> httpx2.Response:
        headers = {"X-Tenant": order.tenant, "Idempotency-Key": order.key}
        while True:
            try:
                answer = await self._client.request(method, path, headers=headers, **parts)
            except httpx2.TransportError:
                self.heard["unheard"] += 1
            else:
                self.heard[f"{method} {answer.status_code}"] += 1
                if answer.is_success:
                    return answer
                if answer.status_code not in (429, 503):
                    self.violations.append(f"{method} {path}: {answer.status_code} {answer.text}")
                    raise ValueError(answer.text)
            await asyncio.sleep(RETRY_SECONDS)

    async def _events(self, order: Order) -> AsyncGenerator[dict[str, Any]]:
        """Yield all events up to the final one, through any number of connections."""
        headers = {"X-Tenant": order.tenant}
        while True:
            try:
                async with self._client.stream(
                    "GET", f"{order.where}/events", headers=headers
                ) as stream:
                    if stream.status_code == 404:
                        self.violations.append(f"{order.id} is lost")
                        return
                    async for event in _parsed(stream):
                        headers["Last-Event-ID"] = event["id"]
                        yield event
                        if event["kind"] in FINAL:
                            return
            except httpx2.TransportError:
                pass
            self.heard["streams resumed"] += 1
            await asyncio.sleep(RETRY_SECONDS)

    async def check_all(self, generations: Callable[[Order], Awaitable[set[str]]]) -> Counter[str]:
        """Look at every job again, now that all is quiet; return how many ended how.

        `generations` returns whose pictures the queue names, and the job's present generation.
        """
        ends: Counter[str] = Counter()
        for order in self.orders:
            if not order.id:
                continue
            try:
                view = (await self._insist("GET", order.where, order)).json()
            except ValueError:  # it is noted; the others may be well
                continue
            ends[view["status"]] += 1
            story = [event async for event in self._events(order)]
            finals = [event["kind"] for event in story if event["kind"] in FINAL]
            broken = {
                f"stuck as {view['status']}": view["status"] not in FINAL,
                f"ended as {finals}": finals != [view["status"]],
                "changed after its end": order.ends != [view],
                "cancelled by nobody": view["status"] == "cancelled" and not order.cancels,
                f"failed: {view['error']}": view["status"] == "failed"
                and not str(view["error"]).startswith(GIVEN_UP),
                "painted by a lost worker": len(await generations(order)) > 1,
                "shows something else": not await self._shows_what_was_ordered(order, view),
            }
            self.violations += [f"{order.id} {what}" for what, is_so in broken.items() if is_so]
        return ends

    async def _shows_what_was_ordered(self, order: Order, view: dict[str, Any]) -> bool:
        if view["status"] != "done":
            return not view["pictures"]
        if len(view["pictures"]) != order.body["count"]:
            return False
        for number, picture in enumerate(view["pictures"]):
            png = (await self._insist("GET", picture["url"], order)).content
            seed = order.body["seed"] + number
            colour = hashlib.sha256(f"{order.body['prompt']}{seed}".encode()).digest()[:3]
            if hashlib.sha256(png).hexdigest() != picture["sha256"]:
                return False
            if Image.open(io.BytesIO(png)).getpixel((0, 0)) != tuple(colour):
                return False
        return True


async def _parsed(stream: httpx2.Response) -> AsyncGenerator[dict[str, Any]]:
    fields: dict[str, str] = {}
    async for line in stream.aiter_lines():
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield {
                "id": fields["id"],
                "kind": fields["event"],
                "data": json.loads(fields["data"]),
            }
            fields = {}
