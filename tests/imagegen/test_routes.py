"""What callers of the API see."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from kit.errors import NotReady
from services.imagegen import app
from services.imagegen.orders import Orders
from services.imagegen.queue import Jobs, connect
from services.imagegen.schemas import BlendRequest, SourceRequest
from services.imagegen.settings import Settings
from services.imagegen.storage import Storage
from services.imagegen.values import Job
from tests.imagegen.fakes import CARD, PlainPainter, finished, settings_for, studio
from tests.imagegen.queueing import RATE, OwnRedis, claim_one, report, submit
from tests.support import serve, until

JSON = {"Content-Type": "application/json"}
CIRCLE = {"prompt": "a red circle"}


@pytest.fixture
async def client(
    settings: Settings,
    jobs: Jobs,  # noqa: ARG001 - says that a worker is alive
) -> AsyncGenerator[httpx2.AsyncClient]:
    """Return a client of an API whose worker is alive but takes nothing."""
    async with serve(app.create_app(settings)) as client:
        yield client


def png(colour: str = "red") -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), colour).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


async def test_a_job_is_accepted_with_its_place(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/images", json=CIRCLE)
    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/v1/images/{job['id']}"
    assert (job["status"], job["position"], job["pictures"]) == ("waiting", 1, [])


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": "   "}, "prompt"),
        ({"prompt": "x" * 2001}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"prompt": "\ud800"}, "prompt"),
        ({}, "prompt"),
        (CIRCLE | {"width": 65}, "multiple of 8"),
        (CIRCLE | {"width": 8}, "width"),
        (CIRCLE | {"height": 4096}, "height"),
        (CIRCLE | {"width": 2048, "height": 2048}, "2.5 megapixels"),
        (CIRCLE | {"steps": 0}, "steps"),
        (CIRCLE | {"steps": 101}, "steps"),
        (CIRCLE | {"count": 9}, "count"),
        (CIRCLE | {"seed": -1}, "seed"),
        (CIRCLE | {"seed": 2**32}, "seed"),
        (CIRCLE | {"guidance": 31}, "guidance"),
        (CIRCLE | {"scheduler": "magic"}, "euler_ancestral"),
        (CIRCLE | {"priority": 10}, "priority"),
        (CIRCLE | {"deadline_seconds": 0}, "deadline_seconds"),
        (CIRCLE | {"negative_prompt": "x" * 2001}, "negative_prompt"),
        (CIRCLE | {"colour": "red"}, "colour"),
        ([], "dictionary"),
    ],
)
async def test_bad_wishes_are_a_clear_422(
    client: httpx2.AsyncClient, wrong: Any, where: str
) -> None:
    answer = await client.post("/v1/images", content=json.dumps(wrong), headers=JSON)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert where in answer.json()["detail"]


@pytest.mark.parametrize(
    ("sources", "where"),
    [
        ([], "sources"),
        ([{"weight": 1}], "exactly one"),
        ([{"text": "a", "data": "b"}], "exactly one"),
        ([{"text": "a", "weight": 0}], "weight"),
        ([{"text": "a"}] * 9, "sources"),
        ([{"data": "not base64!"}], "base64"),
        ([{"data": base64.b64encode(b"no picture").decode()}], "PNG"),
        ([{"data": base64.b64encode(b"\x89PNG\r\n\x1a\n1234").decode()}], "picture"),
        ([{"url": "http://127.0.0.1/secret.png"}], "other hosts"),
        ([{"picture": "../../etc/passwd"}], "painted here"),
    ],
)
async def test_bad_sources_are_a_clear_422(
    client: httpx2.AsyncClient, sources: list[Any], where: str
) -> None:
    answer = await client.post("/v1/blends", json={"sources": sources})
    assert answer.status_code == 422, answer.text
    assert where in answer.json()["detail"]


async def test_broken_json_is_a_400(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/images", content=b'{"prompt":', headers=JSON)
    assert answer.status_code == 400


@pytest.mark.parametrize("key", ["", "with space", "x" * 201])
async def test_a_bad_idempotency_key_is_a_422(client: httpx2.AsyncClient, key: str) -> None:
    answer = await client.post("/v1/images", json=CIRCLE, headers={"Idempotency-Key": key})
    assert answer.status_code == 422, answer.text


async def test_unknown_ids_are_a_404(client: httpx2.AsyncClient) -> None:
    for path in ("/v1/images/no", "/v1/images/no/events", "/v1/images/no/pictures/0"):
        assert (await client.get(path)).status_code == 404
    assert (await client.delete("/v1/images/no")).status_code == 404
    other = {"sources": [{"picture": f"/v1/images/{'0' * 32}/pictures/0"}]}
    assert (await client.post("/v1/blends", json=other)).status_code == 404


async def test_another_tenants_job_is_a_404(settings: Settings) -> None:
    ann, bob = {"X-Tenant": "ann"}, {"X-Tenant": "bob"}
    async with studio(settings) as client:
        where = (await client.post("/v1/images", json=CIRCLE, headers=ann)).headers["Location"]
        job = await finished(client, where, "ann")
        url = job["pictures"][0]["url"]
        for path in (where, f"{where}/events", url):
            assert (await client.get(path, headers=bob)).status_code == 404
        assert (await client.delete(where, headers=bob)).status_code == 404
        blend = {"sources": [{"picture": url}]}
        assert (await client.post("/v1/blends", json=blend, headers=bob)).status_code == 404
        assert (await client.get(url, headers=ann)).status_code == 200


async def test_a_picture_that_is_not_there_yet_is_a_404(client: httpx2.AsyncClient) -> None:
    where = (await client.post("/v1/images", json=CIRCLE)).headers["Location"]
    answer = await client.get(f"{where}/pictures/0")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "The job is waiting and has 0 pictures."


async def test_repeating_a_request_repeats_no_work(client: httpx2.AsyncClient) -> None:
    key = {"Idempotency-Key": "abc"}
    first = await client.post("/v1/images", json=CIRCLE, headers=key)
    again = await client.post("/v1/images", json=CIRCLE, headers=key)
    assert again.status_code == 202
    assert again.json()["id"] == first.json()["id"]
    other = await client.post("/v1/images", json={"prompt": "a boat"}, headers=key)
    assert other.status_code == 409


async def test_the_same_seed_gives_the_same_bytes(settings: Settings) -> None:
    async with studio(settings) as client:
        digests = set()
        for _ in range(2):
            answer = await client.post("/v1/images", json=CIRCLE | {"seed": 5, "count": 2})
            job = await finished(client, answer.headers["Location"])
            assert [view["seed"] for view in job["pictures"]] == [5, 6]
            digests.add(tuple(view["sha256"] for view in job["pictures"]))
        assert len(digests) == 1


async def test_cancelling_stops_a_painting_within_one_step(settings: Settings) -> None:
    painter = PlainPainter(step_seconds=0.05)
    async with studio(settings, painter) as client:
        answer = await client.post("/v1/images", json={"prompt": "a long wait", "steps": 100})
        where = answer.headers["Location"]

        async def has_begun() -> bool:
            return bool((await client.get(where)).json()["progress"]["step"] >= 1)

        await until(has_begun)
        cancelled = await client.delete(where)
        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
        step = cancelled.json()["progress"]["step"]
        following = await client.post("/v1/images", json=CIRCLE)
        assert (await finished(client, following.headers["Location"]))["status"] == "done"
        painted = sum("a long wait" in prompts for prompts in painter.model.passes)
        assert painted - step <= 2  # the one that ran, and one not yet reported


async def test_events_replay_from_the_last_seen(settings: Settings) -> None:
    async with studio(settings) as client:
        where = (await client.post("/v1/images", json=CIRCLE)).headers["Location"]
        await finished(client, where)
        story = events_of((await client.get(f"{where}/events")).text)
        kinds = [event["event"] for event in story]
        assert kinds[:2] == ["waiting", "painting"]
        assert kinds[-1] == "done"
        assert story[-1]["data"]["pictures"][0]["url"] == f"{where}/pictures/0"
        seen = {"Last-Event-ID": story[1]["id"]}
        rest = events_of((await client.get(f"{where}/events", headers=seen)).text)
        assert rest == story[2:]
        wrong = {"Last-Event-ID": "yesterday"}
        assert (await client.get(f"{where}/events", headers=wrong)).status_code == 422


async def test_events_arrive_while_the_job_is_painted(settings: Settings) -> None:
    async with studio(settings, PlainPainter(step_seconds=0.02)) as client:
        where = (await client.post("/v1/images", json=CIRCLE)).headers["Location"]
        story = events_of((await client.get(f"{where}/events")).text)
        steps = [event["data"]["step"] for event in story if event["event"] == "progress"]
        assert steps == sorted(steps)
        assert story[-1]["data"]["status"] == "done"


async def test_previews_arrive_and_the_newest_is_replayed(settings: Settings, jobs: Jobs) -> None:
    async with serve(app.create_app(settings)) as client:
        where = (await client.post("/v1/images", json=CIRCLE)).headers["Location"]
        stream = asyncio.create_task(client.get(f"{where}/events"))
        job = await claim_one(jobs)
        for step in (1, 2):
            await jobs.renew([report(job, step, f"data:image/png;base64,{step}")])
        late = asyncio.create_task(client.get(f"{where}/events"))
        await asyncio.wait([late], timeout=0.2)  # so that it has read what there is
        await jobs.finish(job, [])
        early, story = events_of((await stream).text), events_of((await late).text)
        shown = [event["data"]["step"] for event in early if event["event"] == "preview"]
        assert shown == sorted(shown)
        assert [event["data"] for event in story if event["event"] == "preview"] == [
            {"step": 2, "image": "data:image/png;base64,2"}
        ]
        assert early[-1] == story[-1]


async def test_a_silent_stream_is_kept_open_by_comments(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastapi.routing._PING_INTERVAL", 0.01)  # FastAPI's own 15 s
    where = (await client.post("/v1/images", json=CIRCLE)).headers["Location"]
    stream = asyncio.create_task(client.get(f"{where}/events"))
    await asyncio.wait([stream], timeout=0.2)
    await client.delete(where)
    assert (await stream).text.count(": ping\n") > 1


async def test_unknown_words_are_said_before_anyone_waits(settings: Settings, jobs: Jobs) -> None:
    few = CARD.model_copy(update={"vocabulary": ("red", "circle"), "note": "It paints shapes."})
    await jobs.report("test", few, 0.0)
    async with serve(app.create_app(settings)) as client:
        known = await client.post("/v1/images", json=CIRCLE)
        unknown = await client.post("/v1/images", json={"prompt": "a knight in armour"})
        where = unknown.headers["Location"]
        [warning] = unknown.json()["warnings"]
        assert known.json()["warnings"] == []
        assert warning == "This model knows none of the words in this prompt. It paints shapes."
        await client.delete(where)
        done = events_of((await client.get(f"{where}/events")).text)[-1]["data"]
        assert (await client.get(where)).json()["warnings"] == done["warnings"] == [warning]


async def test_open_streams_end_when_the_service_drains(settings: Settings, jobs: Jobs) -> None:
    service = app.create_app(settings)
    async with serve(service) as client:
        where = (await client.post("/v1/images", json=CIRCLE)).headers["Location"]
        stream = asyncio.create_task(client.get(f"{where}/events"))
        assert await jobs.events(where.rpartition("/")[2], "0-0")
        service.state.health.drain()
        story = events_of((await stream).text)
        assert story == [] or story[0]["event"] == "waiting"


@pytest.mark.usefixtures("jobs")
async def test_too_many_event_streams_are_refused(redis_url: str, tmp_path: Path) -> None:
    few = settings_for(redis_url, tmp_path, max_event_streams=1)
    async with serve(app.create_app(few)) as client:
        where = (await client.post("/v1/images", json=CIRCLE)).headers["Location"]
        first = asyncio.create_task(client.get(f"{where}/events"))

        async def is_refused() -> bool:
            probe = asyncio.create_task(client.get(f"{where}/events"))
            done, _ = await asyncio.wait([probe], timeout=0.2)
            return bool(done) and probe.result().status_code == 429

        await until(is_refused)
        await client.delete(where)
        assert (await first).status_code == 200


async def test_a_full_queue_is_a_429_with_the_time_to_wait(
    redis_url: str, tmp_path: Path, jobs: Jobs
) -> None:
    await jobs.report("test", CARD, 64.0 * 64 * 4)
    small = settings_for(redis_url, tmp_path, max_backlog_seconds=2)
    async with serve(app.create_app(small)) as client:
        answers = [await client.post("/v1/images", json=CIRCLE) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429, 429, 429]
    assert answers[-1].headers["Retry-After"] == "2"
    assert answers[-1].headers["retry-after-ms"] == "1300"


async def test_pictures_and_words_blend(settings: Settings) -> None:
    painter = PlainPainter()
    async with studio(settings, painter) as client:
        first = await client.post("/v1/images", json=CIRCLE)
        own = (await finished(client, first.headers["Location"]))["pictures"][0]["url"]
        sources = [
            {"picture": own, "weight": 3},
            {"data": f"data:image/png;base64,{png()}"},
            {"text": "a boat", "weight": 2},
        ]
        answer = await client.post("/v1/blends", json={"sources": sources, "prompt": "at night"})
        assert answer.status_code == 202, answer.text
        job = await finished(client, answer.headers["Location"])
        assert job["status"] == "done"
    drawing, given = painter.model.prepared[-1]
    shares = [part.weight for part in drawing.ingredients]
    assert shares == pytest.approx([3 / 7, 2 / 7, 1 / 7, 1 / 7])
    assert drawing.prompt == "a boat; at night"
    assert drawing.strength == pytest.approx(0.4 + 0.5 * 3 / 7)
    assert [given[part.picture].size for part in drawing.ingredients if part.picture] == [
        *((64, 64), (32, 32))
    ]


async def test_a_drawing_starts_from_a_picture(settings: Settings) -> None:
    painter = PlainPainter()
    async with studio(settings, painter) as client:
        first = await client.post("/v1/images", json=CIRCLE)
        own = (await finished(client, first.headers["Location"]))["pictures"][0]["url"]
        for start, size in (
            ({"picture": own}, (64, 64)),
            ({"data": png()}, (32, 32)),
            ({"url": f"data:image/png;base64,{png()}"}, (32, 32)),
        ):
            wish = CIRCLE | {"init_image": start, "strength": 0.5}
            answer = await client.post("/v1/images", json=wish)
            assert answer.status_code == 202, answer.text
            job = await finished(client, answer.headers["Location"])
            assert (job["status"], job["progress"]["steps"]) == ("done", 2)
            drawing, given = painter.model.prepared[-1]
            assert [picture.size for picture in given.values()] == [size]
            assert drawing.strength == 0.5


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"init_image": {"data": "not base64!"}}, "base64"),
        ({"init_image": {"data": base64.b64encode(b"no picture").decode()}}, "PNG"),
        ({"init_image": {"url": "http://127.0.0.1/secret.png"}}, "other hosts"),
        ({"init_image": {"picture": "../../etc/passwd"}}, "painted here"),
        ({"init_image": {}}, "exactly one"),
        ({"init_image": {"data": "a", "url": "b"}}, "exactly one"),
        ({"init_image": {"text": "a boat"}}, "text"),
        ({"init_image": {"data": png()}, "strength": 0}, "strength"),
        ({"init_image": {"data": png()}, "strength": 1.1}, "strength"),
        ({"strength": 0.5}, "init_image"),
        ({"loras": [{"name": "unknown"}]}, "no LoRA called unknown"),
        ({"loras": [{"name": "../secret"}]}, "name"),
        ({"loras": [{"name": "a", "weight": 3}]}, "weight"),
        ({"loras": [{"name": "a"}] * 5}, "loras"),
    ],
)
async def test_a_start_or_a_lora_that_is_none_is_a_clear_422(
    client: httpx2.AsyncClient, wrong: dict[str, Any], where: str
) -> None:
    answer = await client.post("/v1/images", json=CIRCLE | wrong)
    assert answer.status_code == 422, answer.text
    assert where in answer.json()["detail"]


async def test_a_blend_whose_acceptance_was_not_heard_keeps_its_pictures(
    settings: Settings, jobs: Jobs
) -> None:
    class Unheard(Jobs):
        async def submit(self, *parts: Any, **more: Any) -> Job:
            await super().submit(*parts, **more)
            raise NotReady("The answer was lost.")

    storage = await asyncio.to_thread(Storage.at, settings.storage_url)
    orders = Orders(Unheard(jobs._redis, settings), storage, settings)
    request = BlendRequest(sources=[SourceRequest(data=png())])
    with pytest.raises(NotReady):
        await orders.blend(request, "ann", "key")
    [job] = await jobs.claim(1)
    [source] = job.drawing.ingredients
    assert await storage.get(str(source.picture))


async def test_redis_away_is_a_503_that_heals_and_loses_nothing(tmp_path: Path) -> None:
    server = OwnRedis(tmp_path / "redis")
    # A claim whose answer was lost waits for its lease to end.
    settings = settings_for(
        server.url, tmp_path / "pictures", lease_seconds=1.0, fsync_wait_ms=4000
    )
    key = {"Idempotency-Key": "abc"}
    try:
        async with studio(settings, PlainPainter(step_seconds=0.05)) as client:
            before = await client.post("/v1/images", json=CIRCLE)
            assert before.status_code == 202
            server.kill()
            for method, path in (("POST", "/v1/images"), ("GET", "/v1/images/x")):
                answer = await client.request(method, path, json=CIRCLE, headers=key)
                assert answer.status_code == 503, answer.text
                assert answer.json()["detail"].startswith("The job queue cannot be reached")
            ready = await client.get("/readyz")
            assert ready.status_code == 503
            assert ready.json()["failures"]["redis"].startswith("The job queue cannot be reached")
            server.start()

            async def is_ready() -> bool:
                return (await client.get("/readyz")).status_code == 200

            await until(is_ready)
            after = [await client.post("/v1/images", json=CIRCLE, headers=key) for _ in range(2)]
            assert after[0].json()["id"] == after[1].json()["id"]
            for accepted in (before, *after):
                job = await finished(client, accepted.headers["Location"])
                assert job["status"] == "done", job
            async with connect(server.url) as redis:
                totals = await Jobs(redis, settings).totals()
            assert sum(totals.jobs.values()) == totals.jobs["done"] == 2
    finally:
        server.kill()


async def test_readiness_names_a_missing_worker(settings: Settings, jobs: Jobs) -> None:
    async with serve(app.create_app(settings)) as client:
        await jobs.sign_off("test")
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["failures"] == {"worker": "No worker is alive."}


async def test_the_queues_metrics_are_exported(client: httpx2.AsyncClient) -> None:
    await client.post("/v1/images", json=CIRCLE)

    async def counted() -> bool:
        return 'imagegen_jobs{state="waiting"} 1.0' in (await client.get("/metrics")).text

    await until(counted)


async def test_the_backlog_is_right_under_load(settings: Settings, jobs: Jobs) -> None:
    await jobs.report("test", CARD, RATE)
    ids = [await submit(jobs, tenant) for tenant in ("ann", "bob") for _ in range(20)]
    batch = await jobs.claim(8)
    await jobs.renew([report(job, 2) for job in batch])  # half of each is done
    await jobs.finish(batch[0], [])
    await jobs.cancel(next(i for i in ids if i not in {job.id for job in batch}), "ann")
    expected = {
        'imagegen_jobs{state="waiting"} 31.0',
        'imagegen_jobs{state="painting"} 7.0',
        'imagegen_jobs{state="done"} 1.0',
        "imagegen_backlog_seconds 34.5",
        "imagegen_redelivered_total 0.0",
        "imagegen_refused_total 0.0",
    }
    async with serve(app.create_app(settings)) as client:

        async def is_exported() -> bool:
            return expected <= set((await client.get("/metrics")).text.splitlines())

        await until(is_exported)


def events_of(text: str) -> list[dict[str, Any]]:
    """Parse an event stream."""
    events = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line[0] != ":")
        if fields:
            events.append(fields | {"data": json.loads(fields["data"])})
    return events
