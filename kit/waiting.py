"""What waits for the model, and who goes next."""

import asyncio
import heapq
import itertools
import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from kit.cost import CostModel
from kit.packing import Packing

I = TypeVar("I")
O = TypeVar("O")

PATIENCE_SECONDS = 60.0  # no deadline counts as later than this: whoever is old goes before
LAG = 4.0  # a request falls behind by so many times the model time that it has had
SHARE = 0.25  # of the queue's bound: more than that of one request fills nobody else's queue
NEWS = 0.1  # share of what waits that may change before its batches are foreseen anew


class Request(Generic[I, O]):
    """All inputs of one caller: admitted together, answered together."""

    __slots__ = (
        "answers",
        "deadline_at",
        "due",
        "future",
        "is_large",
        "is_pressing",
        "order",
        "pending",
        "served",
        "since",
        "unanswered",
        "values",
        "work",
    )

    def __init__(
        self,
        values: Sequence[I],
        since: float,
        deadline_at: float = math.inf,
        due: float = math.inf,
    ) -> None:
        self.values = values
        self.answers: list[O | None] = [None] * len(values)
        self.unanswered = len(values)
        self.future: asyncio.Future[list[O]] = asyncio.get_running_loop().create_future()
        self.since = since
        self.deadline_at = deadline_at
        self.due = min(due, deadline_at, since + PATIENCE_SECONDS)
        self.order = 0
        self.pending: dict[int, Item[I, O]] = {}  # what waits, by its place, shortest first
        self.work = 0.0  # what waits, in seconds at the usual pace
        self.served = 0.0  # what no longer waits
        self.is_large = False  # more than one batch
        self.is_pressing = False  # has no time to lose

    @property
    def is_wanted(self) -> bool:
        """Tell whether anyone still waits for the answers."""
        return not self.future.done()


class Item(NamedTuple, Generic[I, O]):
    """One input that waits; sorted by length, then by when it is due."""

    tokens: int
    due: float
    order: int  # unique, so that no comparison goes further
    request: Request[I, O]
    place: int
    work: float


class Waiting(Generic[I, O]):
    """The inputs that wait for one model.

    The request that is due first decides which input must go next, and inputs of like length join
    it: as many as fit, while their padding costs less than one more batch would. A request counts as
    due later by `LAG` times the model time that it has had, unless it would then come late: so a
    large one is overtaken by small ones, and nobody waits for more than its first part.
    """

    def __init__(
        self, cost: CostModel, *, max_items: int, max_tokens: int, bound: float = math.inf
    ) -> None:
        self._cost = cost
        self._share = SHARE * bound
        self._packing = Packing(cost, max_items, max_tokens)
        self._max_items, self._max_tokens = max_items, max_tokens
        self._by_length: list[Item[I, O]] = []
        self._first: list[tuple[float, int, Request[I, O]]] = []  # a heap; keys may be too early
        self._requests: dict[int, Request[I, O]] = {}  # oldest first
        self._large: dict[int, Request[I, O]] = {}
        self._order = itertools.count()
        self._work = 0.0
        self._stretch = 1.0  # what a second of work takes with its padding, in the batches foreseen
        self._foreseen = 0.0  # the work for which that holds
        self.oldest_since: float | None = None  # read by the thread that renders metrics

    def __len__(self) -> int:
        """Count the inputs that wait."""
        return len(self._by_length)

    @property
    def seconds(self) -> float:
        """Estimate the time until all that waits is done."""
        return self._work * self.seconds_per_work

    @property
    def seconds_foreseen(self) -> float:
        """Return the same as last foreseen; another thread may ask, nothing is changed."""
        return self._work * self._cost.pace * self._stretch

    @property
    def seconds_per_work(self) -> float:
        """Return what a second of work takes at present, in the batches that it will make."""
        if abs(self._work - self._foreseen) > NEWS * self._work:
            self._foreseen = self._work
            self._stretch = self._packing.seconds() / self._work if self._by_length else 1.0
        return self._cost.pace * self._stretch

    def measure(self, request: Request[I, O], tokens: Sequence[int]) -> float:
        """Take a request's lengths down, and return the seconds that it will take of the model."""
        order = request.order = next(self._order)
        request.is_large = len(tokens) > self._max_items or sum(tokens) > self._max_tokens
        for place in sorted(range(len(tokens)), key=tokens.__getitem__):
            length = tokens[place]
            work = self._packing.work_of(length)
            item = Item(length, request.due, order, request, place, work)
            request.pending[place] = item
            request.work += work
            order = next(self._order)
        return request.work * self.seconds_per_work + self._cost.pace * self._cost.per_batch

    def add(self, request: Request[I, O]) -> None:
        """Let a measured request wait."""
        for item in request.pending.values():
            insort(self._by_length, item)
            self._packing.add(item.tokens)
        self._work += request.work
        self._requests[request.order] = request
        if request.is_large:
            self._large[request.order] = request
        if self.oldest_since is None:
            self.oldest_since = request.since
        if len(self._first) > 2 * len(self._requests) + 64:  # of those who have left
            self._first = [entry for entry in self._first if entry[2].pending]
            heapq.heapify(self._first)
        heapq.heappush(self._first, (request.due, request.order, request))

    def drop(self, request: Request[I, O]) -> int:
        """Forget what of a request still waits, and return how many inputs that was."""
        dropped = list(request.pending.values())
        for item in dropped:
            del self._by_length[bisect_left(self._by_length, item)]
            self._no_longer(item)
        return len(dropped)

    def drain(self) -> list[Request[I, O]]:
        """Forget everything, and return whose it was."""
        requests = list(self._requests.values())
        for request in requests:
            self.drop(request)
        return requests

    @property
    def counted_seconds(self) -> float:
        """Return what waits as far as it counts for the queue's bound."""
        return self.seconds - sum(map(self._over_share, self._large.values()))

    def counted_part(self, batch: Sequence[Item[I, O]]) -> float:
        """Return the part of a batch that counts while it runs: what is over its share does not."""
        counted = sum(item.work for item in batch if not self._over_share(item.request))
        return counted / sum(item.work for item in batch)

    def seconds_until_less(self, over: float) -> float:
        """Estimate how long it takes until `over` seconds less count for the queue's bound."""
        excess = [over for over in map(self._over_share, self._large.values()) if over]
        above, below = len(excess), len(self._large) - len(excess)
        small = self.seconds - self.seconds_per_work * sum(r.work for r in self._large.values())
        first = min(over, small)  # while small requests go, large ones get a part of the time
        rest = over - first  # comes from large ones, side by side
        wait = first * (1 + above / LAG)
        if rest > 0 and below:
            wait += rest * (above + below) / below
        elif rest > 0 and above:
            wait += (min(excess) + rest) * above
        return wait

    def _over_share(self, request: Request[I, O]) -> float:
        """Return the seconds that a large request has waiting above its share of the queue."""
        if not request.is_large:
            return 0.0
        return max(0.0, request.work * self.seconds_per_work - self._share)

    def seconds_ahead_of(self, request: Request[I, O]) -> float:
        """Estimate the work that is done before the last input of a newcomer."""
        rate = self.seconds_per_work
        end = request.due + LAG * request.work * rate
        ahead = 0.0
        for other in self._requests.values():
            gap = (end - self._key(other)) / LAG
            if gap > 0:
                work = other.work * rate
                ahead += min(work, gap) if other.is_large else work
        return ahead

    def take(self, now: float) -> list[Item[I, O]]:
        """Remove and return the next batch; empty when nothing waits."""
        self._hurry(now)
        request = self._next_request()
        if request is None:
            return []
        must_go = next(iter(request.pending.values()))
        low, high = self._neighbours(bisect_left(self._by_length, must_go))
        batch = self._by_length[low:high]
        del self._by_length[low:high]
        for item in batch:
            self._no_longer(item)
        return batch

    def _no_longer(self, item: Item[I, O]) -> None:
        request = item.request
        del request.pending[item.place]
        self._packing.add(item.tokens, -1)
        request.work -= item.work
        request.served += item.work
        self._work -= item.work
        if not request.pending:
            del self._requests[request.order]
            self._large.pop(request.order, None)
            first = next(iter(self._requests.values()), None)
            self.oldest_since = first.since if first else None
        if not self._requests:
            self._work = 0.0  # without the rounding errors

    def _hurry(self, now: float) -> None:
        """Let large requests go by their true deadline once they have no time to lose."""
        for request in self._large.values():
            left = request.deadline_at - now
            if not request.is_pressing and left < 2 * request.work * self.seconds_per_work:
                request.is_pressing = True
                heapq.heappush(self._first, (request.due, request.order, request))

    def _next_request(self) -> Request[I, O] | None:
        while self._first:
            key, order, request = self._first[0]
            if not request.pending:
                heapq.heappop(self._first)
            elif (true_key := self._key(request)) > key:
                heapq.heapreplace(self._first, (true_key, order, request))
            else:
                return request
        return None

    def _key(self, request: Request[I, O]) -> float:
        if request.is_pressing:
            return request.due
        return request.due + LAG * request.served * self.seconds_per_work

    def _neighbours(self, at: int) -> tuple[int, int]:
        """Grow a batch around one input, always to the side that needs less padding."""
        items = self._by_length
        low, high = at, at + 1
        longest = used = items[at].tokens
        can_shrink, can_grow = low > 0, high < len(items)
        while (can_shrink or can_grow) and high - low < self._max_items:
            size = high - low
            shorter = longest - items[low - 1].tokens if can_shrink else math.inf
            longer = (items[high].tokens - longest) * size if can_grow else math.inf
            takes_longer = longer <= shorter
            joining = items[high if takes_longer else low - 1].tokens
            padded = max(longest, joining) * (size + 1)
            padding = padded - used - joining
            if padded > self._max_tokens or not self._packing.allows(padding, padded):
                can_grow = can_grow and not takes_longer
                can_shrink = can_shrink and takes_longer
                continue
            longest, used = max(longest, joining), used + joining
            low, high = (low, high + 1) if takes_longer else (low - 1, high)
            can_shrink, can_grow = can_shrink and low > 0, can_grow and high < len(items)
        return low, high
