"""Start everything, do the main job on real input, show the results, stop: `make demo`."""

import asyncio
import sys
import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from local.stack import RUN, Stack, StackFailed, ports_from_environment, running

KNOWLEDGE = Path(__file__).parent / "knowledge"
COLLECTION = "handbook"
WIDTH = 100
NAMES = {"en": "English", "es": "Spanish", "ru": "Russian"}


@dataclass(frozen=True)
class Wish:
    """What a person asks for, and the intent that a person would call it."""

    language: str
    intent: str
    text: str
    more: dict[str, Any] = field(default_factory=dict)


PASSAGES = {
    "en": "The lighthouse was built in 1887 by the engineer Ada Lindqvist. It is 41 metres tall "
    "and its lamp can be seen from 30 kilometres away.",
    "es": "El faro fue construido en 1887 por la ingeniera Ada Lindqvist. Mide 41 metros y su "
    "lámpara se ve desde 30 kilómetros de distancia.",
    "ru": "Маяк построила в 1887 году инженер Ада Линдквист. Его высота 41 метр, а свет лампы "
    "виден за 30 километров.",
}

WISHES = (
    Wish("en", "draw", "please draw a red circle above a blue square"),
    Wish("es", "draw", "dibuja un triángulo verde, por favor"),
    Wish("ru", "draw", "можешь нарисовать жёлтую звезду на синем фоне?"),
    Wish("en", "classify", 'What emotion is in "Thank you so much, you saved my week!"?'),
    Wish("es", "classify", '¿Qué emoción expresa "I am really worried about the exam tomorrow"?'),
    Wish("ru", "classify", 'Какая эмоция в этом тексте: "What a lovely day, I love this place!"'),
    Wish("en", "answer", "Who built the lighthouse?", {"context": PASSAGES["en"]}),
    Wish("es", "answer", "¿Quién construyó el faro?", {"context": PASSAGES["es"]}),
    Wish("ru", "answer", "Кто построил маяк?", {"context": PASSAGES["ru"]}),
    Wish("en", "ask", "How many vacation days do employees get?"),
    Wish("es", "ask", "¿Cuántos días de vacaciones tienen los empleados?"),
    Wish("ru", "ask", "Сколько дней отпуска у сотрудников?"),
    Wish("en", "chat", "Hi there! What can you do?"),
    Wish("es", "chat", "¡Hola! ¿Qué sabes hacer?"),
    Wish("ru", "chat", "Привет! Что ты умеешь?"),
)


async def demo() -> int:
    """Run the whole demonstration; return how many wishes were not fulfilled."""
    started = time.monotonic()
    print("Starting redis and the services ...", flush=True)
    async with running(ports_from_environment(), echo=False) as stack:
        print(f"Everything is ready after {time.monotonic() - started:.1f} s.\n")
        url = stack.url("gateway")
        # No proxy of the environment stands between us and our own machine.
        async with httpx2.AsyncClient(base_url=url, timeout=60.0, trust_env=False) as client:
            await _teach(client)
            failures = [wish for wish in WISHES if not await _fulfil(client, wish)]
        _summary(stack, failures)
    print(f"Stopped everything. The whole demo took {time.monotonic() - started:.1f} s.")
    return len(failures)


async def _teach(client: httpx2.AsyncClient) -> None:
    """Fill the knowledge base with the bundled documents."""
    documents = [
        {"id": file.stem, "title": _title(file), "text": file.read_text(encoding="utf-8")}
        for file in sorted(KNOWLEDGE.glob("*.md"))
    ]
    path = f"/v1/collections/{COLLECTION}"
    (await client.put(path, json={})).raise_for_status()
    added = await client.post(f"{path}/documents", json={"documents": documents})
    added.raise_for_status()
    for document in documents:
        await _until_indexed(client, f"{path}/documents/{document['id']}")
    print(f"Knowledge base {COLLECTION!r}: {len(documents)} documents in three languages.\n")


def _title(file: Path) -> str:
    return file.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")


async def _until_indexed(client: httpx2.AsyncClient, path: str) -> None:
    while (await client.get(path)).raise_for_status().json()["status"] not in ("ready", "failed"):
        await asyncio.sleep(0.1)


async def _fulfil(client: httpx2.AsyncClient, wish: Wish) -> bool:
    """Send one wish and print what came of it; return whether the right service answered."""
    body = {"text": wish.text, "collection": COLLECTION, **wish.more}
    started = time.perf_counter()
    response = await client.post("/v1/assist", json=body, headers={"Prefer": "wait=60"})
    took_ms = (time.perf_counter() - started) * 1000
    print(f"{NAMES[wish.language]}: {wish.text}")
    if not response.is_success:
        print(f"  FAILED with {response.status_code}: {response.text}\n")
        return False
    answer = response.json()
    print(
        f"  -> {answer['intent']} by {answer['service']} (confidence {answer['confidence']:.2f}, "
        f"{took_ms:.0f} ms, of these {answer['timings'].get('route_ms', 0):.1f} ms to decide)"
    )
    for line in await _shown(client, wish, answer):
        print(textwrap.fill(line, WIDTH, initial_indent="     ", subsequent_indent="     "))
    print(flush=True)
    return bool(answer["intent"] == wish.intent)


async def _shown(client: httpx2.AsyncClient, wish: Wish, answer: dict[str, Any]) -> list[str]:
    """Say in lines for a person what the service answered."""
    output = answer["output"] or {}
    if answer["intent"] == "draw":
        return [await _saved(client, wish, picture) for picture in output.get("pictures", [])]
    if answer["intent"] == "classify":
        scores = output["results"][0]["scores"][:3]
        return ["  ".join(f"{score['label']} {score['score']:.2f}" for score in scores)]
    if answer["intent"] == "answer":
        return [f"{best['text']!r} ({best['score']:.2f})" for best in output["answers"][:1]]
    if answer["intent"] == "ask":
        sources = [f"[{cited['title']}] {cited['text']}" for cited in output["citations"][:1]]
        return [output["answer"] or "Not in the documents. The closest passage:", *sources]
    return [str(output.get("text", output))]


async def _saved(client: httpx2.AsyncClient, wish: Wish, picture: dict[str, Any]) -> str:
    png = (await client.get(picture["url"])).raise_for_status().content
    file = RUN / "demo" / f"{wish.intent}-{wish.language}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(png)
    return f"{file} ({picture['width']}x{picture['height']}, seed {picture['seed']})"


def _summary(stack: Stack, failures: list[Wish]) -> None:
    done = len(WISHES) - len(failures)
    print(f"{done} of {len(WISHES)} wishes went to the right service and were answered.")
    for wish in failures:
        print(f"  not: {wish.text!r} (expected {wish.intent})")
    print(f"Logs are in {stack.supervisor.log('gateway').parent}.")


def main() -> int:
    """Run the demo; return 0 when every wish was fulfilled."""
    try:
        return 1 if asyncio.run(demo()) else 0
    except (StackFailed, OSError, httpx2.HTTPError) as problem:
        sys.stderr.write(f"The demo stopped: {problem}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nThe demo was interrupted; everything is stopped.\n")
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
