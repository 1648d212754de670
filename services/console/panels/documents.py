"""Documents into the knowledge base, with the progress of their reading."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import gradio as gr

from kit.errors import ServiceError
from services.console import cards
from services.console.panels.screen import Screen, language_of
from services.console.texts import say
from services.console.wishes import problem_of

LOOK_SECONDS = 0.3
MOST_LOOKS = 400  # two minutes; indexing goes on without anyone who looks
# What the knowledge base reads, as its README says.
READABLE = (".md", ".txt", ".html", ".pdf", ".docx", ".csv", ".json", ".jsonl")


class Documents:
    """Takes files, sends them to a collection, and shows until each can be found."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        t = screen.say
        self.collection = gr.Textbox(
            value="default",
            label=t("collection"),
            info=t("collection_info"),
            elem_id="collection",
            max_length=63,
        )
        self.files = gr.File(
            label=t("upload"),
            file_count="multiple",
            file_types=list(READABLE),
            height=150,
            elem_id="files",
        )
        self.status = gr.HTML(elem_id="documents-status")
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        self.collection.change(lambda name: name, self.collection, screen.collection, **quiet)
        self.files.upload(
            self.add,
            [self.files, self.collection, screen.key],
            [self.status, self.files],
            **quiet,
        )

    async def add(
        self, paths: list[str], collection: str, key: str, request: gr.Request
    ) -> AsyncGenerator[dict[Any, Any]]:
        """Send the files and look until all of them are ready or failed."""
        language = language_of(request)
        sending = say(language, "uploading", count=len(paths))
        yield {self.status: cards.note(sending), self.files: None}
        try:
            files = [await asyncio.to_thread(_read, Path(path)) for path in paths]
            rows = await self.screen.gateway.add_documents(collection, files, key)
            for _ in range(MOST_LOOKS):
                yield {self.status: cards.documents(rows, language)}
                if all(row["status"] != "waiting" for row in rows):
                    return
                await asyncio.sleep(LOOK_SECONDS)
                rows = [await self._look(collection, row, key) for row in rows]
        except ServiceError as error:
            problem = problem_of(error, language)
            yield {self.status: cards.note(problem, is_problem=True)}

    async def _look(self, collection: str, row: dict[str, Any], key: str) -> dict[str, Any]:
        if row["status"] != "waiting":
            return row
        return await self.screen.gateway.document(collection, str(row["id"]), key)


def _read(path: Path) -> tuple[str, bytes]:
    return path.name, path.read_bytes()
