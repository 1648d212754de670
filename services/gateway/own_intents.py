"""A tenant's own intents: kept, learnt and told apart from the router's seven, without a restart."""

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
import yaml
from pydantic import ValidationError

from kit.errors import Conflict, NotFound, NotReady, Unprocessable
from services.gateway.few_shot import Learner, Match, Matcher, Vectoriser
from services.gateway.intents_schemas import OwnIntent
from services.gateway.intents_store import IntentsStore
from services.gateway.upstreams import owner

MAX_INTENTS = 100
REFRESH_SECONDS = 2.0  # how long another replica's change may go unseen

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Known:
    """What one tenant's own intents are at a moment."""

    definitions: Mapping[str, OwnIntent]
    matcher: Matcher | None


class OwnIntents:
    """Promises: a change counts from the next message on here, within two seconds on other replicas.

    No tenant meets another's intents. Those of the file belong to everyone and cannot be deleted.
    """

    def __init__(
        self, store: IntentsStore, vectoriser: Vectoriser, common: Sequence[OwnIntent] = ()
    ) -> None:
        self._store = store
        self._vectoriser = vectoriser
        self._learner = Learner(vectoriser)
        self._common = {intent.name: intent for intent in common}
        self._known: dict[str, tuple[float, Known]] = {}
        self._changing = asyncio.Lock()

    async def of(self, tenant: str) -> Known:
        """Return the tenant's own intents, learnt."""
        looked, known = self._known.get(tenant, (-REFRESH_SECONDS, None))
        if known is not None and time.monotonic() - looked < REFRESH_SECONDS:
            return known
        try:
            definitions = self._common | await self._store.read(tenant)
        except NotReady:
            if known is None:
                raise
            definitions = dict(known.definitions)  # what was known goes on
        if known is None or known.definitions != definitions:
            known = Known(definitions, await asyncio.to_thread(self._learnt, definitions))
        self._known[tenant] = time.monotonic(), known
        return known

    async def match(self, tenant: str, text: str) -> tuple[OwnIntent, Match] | None:
        """Return the own intent that a message has; none while they cannot be read."""
        try:
            known = await self.of(tenant)
        except NotReady:
            return None  # the seven intents go on
        if known.matcher is None:
            return None
        match = await asyncio.to_thread(self._matched, known.matcher, text)
        return (known.definitions[match.name], match) if match else None

    async def put(self, tenant: str, intents: Sequence[OwnIntent]) -> list[OwnIntent]:
        """Add or replace by name; raises Conflict above the limit, Unprocessable for a foreign path."""
        for intent in intents:
            if problem := _problem(intent):
                line = {"field": "path", "in": "body", "message": problem, "kind": "value_error"}
                raise Unprocessable(problem, errors=[line])
        async with self._changing:
            kept = await self._store.read(tenant)
            if len(kept | {intent.name: intent for intent in intents}) > MAX_INTENTS:
                raise Conflict(f"A tenant may have {MAX_INTENTS} intents.")
            await self._store.put(tenant, intents)
        self._known.pop(tenant, None)
        return list((await self.of(tenant)).definitions.values())

    async def delete(self, tenant: str, name: str) -> None:
        """Forget one; raises NotFound, or Conflict for one of the file."""
        if not await self._store.delete(tenant, name):
            if name in self._common:
                raise Conflict(f"The intent {name} comes from GATEWAY_INTENTS.")
            raise NotFound(f"There is no intent {name}.")
        self._known.pop(tenant, None)

    async def get(self, tenant: str, name: str) -> OwnIntent:
        """Return one; raises NotFound."""
        found = (await self.of(tenant)).definitions.get(name)
        if found is None:
            raise NotFound(f"There is no intent {name}.")
        return found

    def _learnt(self, definitions: Mapping[str, OwnIntent]) -> Matcher | None:
        if not definitions:
            return None
        started = time.perf_counter()
        matcher = self._learner.learn([(d.name, d.phrases) for d in definitions.values()])
        took = round((time.perf_counter() - started) * 1000)
        log.info("intents_learnt", intents=len(definitions), ms=took)
        return matcher

    def _matched(self, matcher: Matcher, text: str) -> Match | None:
        return matcher.match(self._vectoriser.vector(text))


def _problem(intent: OwnIntent) -> str:
    path = intent.path.partition("?")[0]
    is_plain = not {".", ".."} & set(path.split("/")) and "%" not in path
    is_theirs = is_plain and owner(path) == intent.service
    return "" if is_theirs else f"{intent.name}: {intent.path} is no path of {intent.service}."


def read_file(path: Path | None) -> list[OwnIntent]:
    """Read the intents that belong to everyone, or stop the process with one message."""
    if path is None:
        return []
    try:
        listed = yaml.safe_load(path.read_text(encoding="utf-8"))
        intents = [OwnIntent.model_validate(entry) for entry in listed["intents"]]
        if len({intent.name for intent in intents}) < len(intents):
            raise ValueError("a name is there twice")
        for problem in filter(None, map(_problem, intents)):
            raise ValueError(problem)
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        sys.stderr.write(f"Wrong setting GATEWAY_INTENTS: {path}: {reason}\n")
        raise SystemExit(2) from None
    return intents
