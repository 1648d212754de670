"""One OpenAPI document for everything that the gateway serves."""

import asyncio
import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from kit.client import ServiceClient
from kit.errors import ServiceError
from services.gateway import examples

DOCUMENT_SECONDS = 10.0
RETRY_SECONDS = 3.0  # while a document is missing, look more often
HTTP_METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
NOT_IN_3_1 = "itemSchema"  # of OpenAPI 3.2; FastAPI writes it for event streams all the same

Document = dict[str, Any]


class MergedDocument:
    """The gateway's own document and those of the services, looked at again and again.

    A service that does not answer is left out, with a note in the description, until it does.
    """

    def __init__(
        self,
        own: Document,
        services: Iterable[ServiceClient],
        owner: Callable[[str], str | None],
        *,
        needs_key: bool,
        refresh_seconds: float,
    ) -> None:
        self._own = own
        self._services = list(services)
        self._owner = owner
        self._needs_key = needs_key
        self._refresh_seconds = refresh_seconds
        self._merged = merge(own, {}, owner, needs_key=needs_key)

    def current(self) -> Document:
        """Return the document as of the last look."""
        return self._merged

    async def refresh(self) -> bool:
        """Look at every service once, and tell whether all answered."""
        documents = await asyncio.gather(*(_fetched(service) for service in self._services))
        found = {
            service.name: document
            for service, document in zip(self._services, documents, strict=True)
        }
        self._merged = merge(self._own, found, self._owner, needs_key=self._needs_key)
        return all(found.values())

    async def keep_fresh(self) -> None:
        """Look again until cancelled."""
        while True:
            is_complete = await self.refresh()
            soon = min(RETRY_SECONDS, self._refresh_seconds)
            await asyncio.sleep(self._refresh_seconds if is_complete else soon)


async def _fetched(service: ServiceClient) -> Document | None:
    try:
        response = await service.look("/openapi.json", DOCUMENT_SECONDS)
        document = response.json() if response.is_success else None
    except (ServiceError, ValueError):
        return None
    return document if isinstance(document, dict) and "paths" in document else None


def merge(
    own: Document,
    documents: Mapping[str, Document | None],
    owner: Callable[[str], str | None],
    *,
    needs_key: bool,
) -> Document:
    """Add to `own` the paths that each service owns, with its components under its own names."""
    merged = copy.deepcopy(own)
    components = merged.setdefault("components", {})
    security: list[Document] = (
        [{name: []} for name in components.get("securitySchemes", {})] if needs_key else []
    )
    for operation in _operations(merged):
        if "security" in operation:
            operation["security"] = security
    for service, document in documents.items():
        if document is None:
            continue
        renamed = _renamed(document, service)
        merged["paths"] |= {
            path: _labelled(path, item, service, security)
            for path, item in renamed["paths"].items()
            if owner(path) == service
        }
        for kind, entries in renamed.get("components", {}).items():
            if kind != "securitySchemes":  # the keys are the gateway's matter
                components.setdefault(kind, {}).update(entries)
    silent = [service for service, document in documents.items() if document is None]
    if silent:
        note = f"Left out, because they do not answer at the moment: {', '.join(silent)}."
        merged["info"]["description"] = f"{merged['info'].get('description', '')}\n\n{note}"
    return merged


def _renamed(document: Document, service: str) -> Document:
    """Return a copy whose components carry the service's name, references included."""
    prefix = service.title()

    def walk(node: Any) -> Any:
        if isinstance(node, list):
            return [walk(entry) for entry in node]
        if isinstance(node, dict):
            return {key: walk(value) for key, value in node.items() if key != NOT_IN_3_1}
        if isinstance(node, str) and node.startswith("#/components/"):
            head, _, name = node.rpartition("/")
            return f"{head}/{prefix}{name}"
        return node

    copied: Document = walk(document)
    copied["components"] = {
        kind: {f"{prefix}{name}": entry for name, entry in entries.items()}
        for kind, entries in copied.get("components", {}).items()
    }
    return copied


def _labelled(path: str, item: Document, service: str, security: list[Document]) -> Document:
    """Return a path's operations under the service's tag, with ids that no other service has."""
    labelled = copy.deepcopy(item)
    for method in HTTP_METHODS & labelled.keys():
        operation = labelled[method]
        operation |= {"tags": [service], "security": security}
        examples.add(method, path, operation)
        if "operationId" in operation:
            operation["operationId"] = f"{service}_{operation['operationId']}"
    return labelled


def _operations(document: Document) -> Iterator[Document]:
    for item in document["paths"].values():
        yield from (item[method] for method in HTTP_METHODS & item.keys())
