"""Keys: made, listed, withdrawn; what each opens, and how often."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis as redis_client

from local import redis
from services.gateway import gate, keys
from services.gateway.keys import Key, digest_of
from services.gateway.settings import Settings
from tests.gateway.support import FixedRouter, Scripted, served
from tests.support import until

Command = Callable[..., tuple[int, str]]


@pytest.fixture(params=["file", "redis"])
def places(
    request: pytest.FixtureRequest, tmp_path: Path, redis_url: str
) -> Iterator[dict[str, str]]:
    """Return the settings that say where the keys are: a file, then Redis."""
    if request.param == "file":
        yield {"GATEWAY_KEYS_FILE": str(tmp_path / "keys")}
        return
    yield {"GATEWAY_KEYS_IN_REDIS": "true", "GATEWAY_REDIS_URL": redis_url}
    redis_client.Redis.from_url(redis_url).delete(keys.IN_REDIS)


@pytest.fixture
def command(
    places: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Return the command as a person runs it: its exit code, and what it wrote."""
    for name, value in places.items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> tuple[int, str]:
        try:
            code = keys.main(words)
        except SystemExit as refused:
            code = int(refused.code or 0)
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def settings_of(places: dict[str, str]) -> dict[str, Any]:
    return {name.removeprefix("GATEWAY_").lower(): value for name, value in places.items()}


def made(command: Command, *words: str) -> str:
    code, said = command("create", *words)
    assert code == 0, said
    return said.split()[0]


async def test_a_made_key_opens_the_gateway_and_a_withdrawn_one_no_longer(
    command: Command, places: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(gate, "REFRESH_SECONDS", 0.05)
    secret = await asyncio.to_thread(made, command, "--tenant", "acme", "--name", "ci")
    rag = Scripted({"GET /v1/collections": {"collections": []}})
    async with served(services={"rag": rag.app}, **settings_of(places)) as client:

        async def answers(status: int, header: dict[str, str]) -> bool:
            answer = await client.get("/v1/collections", headers=header)
            return answer.status_code == status

        bearer = {"Authorization": f"Bearer {secret}"}
        await until(lambda: answers(200, bearer))
        assert rag.headers[-1]["x-tenant"] == "acme"
        assert await answers(200, {"X-API-Key": secret})
        assert "x-api-key" not in rag.headers[-1]
        assert await answers(401, {"Authorization": "Bearer sb_guess"})
        revoked = await asyncio.to_thread(command, "revoke", digest_of(secret)[:12])
        assert revoked[0] == 0
        await until(lambda: answers(401, bearer))  # although no key is left at all


def test_a_key_is_shown_once_and_stored_as_its_hash(command: Command, places: dict[str, str]):
    secret = made(command, "--tenant", "acme", "--name", "ci", "--scopes", "assist,rag:read")
    assert re.fullmatch(r"sb_[\w-]{43}", secret)
    code, listed = command("list")
    assert code == 0
    assert secret not in listed
    assert digest_of(secret)[:12] in listed
    assert "assist,rag:read" in listed
    if "GATEWAY_KEYS_FILE" in places:
        path = Path(places["GATEWAY_KEYS_FILE"])
        assert secret not in path.read_text()
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create", "--tenant", "no spaces"), "tenant"),
        (("create", "--tenant", "a", "--scopes", "everything"), "everything"),
        (("create", "--tenant", "a", "--rate", "many"), "60/minute"),
        (("create", "--tenant", "a", "--daily", "-1"), "daily"),
        (("create", "--tenant", "a", "--expires", "soon"), "expires"),
        (("revoke", "ffff"), "0 keys"),
        (("revoke", "x"), "hexadecimal"),
    ],
)
def test_a_wrong_command_is_refused_with_the_reason(
    command: Command, words: tuple[str, ...], said: str
):
    made(command, "--tenant", "other")
    code, output = command(*words)
    assert code == 2
    assert said in output
    assert len(command("list")[1].splitlines()) == 2


def test_without_a_place_for_keys_the_command_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delenv("GATEWAY_KEYS_FILE", raising=False)
    assert keys.main(["list"]) == 2
    assert "GATEWAY_KEYS_FILE" in capsys.readouterr().err


def test_the_files_comments_and_other_keys_stay(tmp_path: Path):
    path = tmp_path / "keys"
    path.write_text(f"# ours\n{'a' * 64} acme # old form\n", encoding="utf-8")
    store = keys.KeysInFile(path)
    key = Key(digest="b" * 64, tenant="other", rate="5/second")
    store.add(key)
    assert [key.tenant for key in store.load()] == ["acme", "other"]
    assert store.load()[1] == key
    store.remove(key.digest)
    assert path.read_text().splitlines() == ["# ours", f"{'a' * 64} acme # old form"]


def key_line(secret: str, tenant: str = "acme", **more: object) -> str:
    return Key.model_validate({"digest": digest_of(secret), "tenant": tenant, **more}).line()


@contextmanager
def file_of(path: Path, *lines: str) -> Iterator[dict[str, Any]]:
    path.write_text("\n".join(lines), encoding="utf-8")
    yield {"keys_file": str(path)}


async def test_a_key_whose_day_is_over_opens_nothing(tmp_path: Path):
    over = datetime.now(UTC) - timedelta(seconds=1)
    with file_of(tmp_path / "keys", key_line("k", expires=over)) as settings:
        async with served(**settings) as client:
            answer = await client.get("/v1/services", headers={"X-API-Key": "k"})
    assert answer.status_code == 401
    assert "over" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("scopes", "opened"),
    [
        ((), {"assist", "chat", "classify", "draw", "upload", "search", "models"}),
        (("assist",), {"assist", "chat", "models"}),
        (("classifier",), {"classify", "models"}),
        (("imagegen",), {"draw", "models"}),
        (("rag:read",), {"search", "models"}),
        (("rag",), {"search", "upload", "models"}),
    ],
)
async def test_a_scope_opens_its_part_and_nothing_else(
    tmp_path: Path, scopes: tuple[str, ...], opened: set[str]
):
    tries = {
        "assist": ("POST", "/v1/assist"),
        "chat": ("POST", "/v1/chat/completions"),
        "classify": ("POST", "/v1/classify"),
        "draw": ("POST", "/v1/images/generations"),
        "upload": ("POST", "/v1/collections/c/documents"),
        "search": ("POST", "/v1/collections/c/search"),
        "models": ("GET", "/v1/models"),
    }
    with file_of(tmp_path / "keys", key_line("k", scopes=scopes)) as settings:
        async with served(FixedRouter(), **settings) as client:
            found = {
                name: (await client.request(*each, headers={"X-API-Key": "k"})).status_code
                for name, each in tries.items()
            }
    assert {name for name, status in found.items() if status != 403} == opened


async def test_what_is_left_is_told_and_the_rest_is_refused_until_then(tmp_path: Path):
    with file_of(tmp_path / "keys", key_line("k", rate="2/hour", daily=10)) as settings:
        async with served(**settings) as client:
            answers = [
                await client.get("/v1/services", headers={"X-API-Key": "k"}) for _ in range(3)
            ]
            probe = await client.get("/readyz")
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    first, _, refused = answers
    assert first.headers["ratelimit-policy"] == '"rate";q=2;w=3600, "day";q=10;w=86400'
    assert re.fullmatch(r'"rate";r=1;t=\d+, "day";r=9;t=\d+', first.headers["ratelimit"])
    assert re.fullmatch(r'"rate";r=0;t=\d+', refused.headers["ratelimit"])
    assert 0 < int(refused.headers["retry-after"]) <= 7200
    assert refused.headers["content-type"] == "application/problem+json"
    assert "ratelimit" not in probe.headers


async def test_a_daily_quota_counts_in_redis_for_every_gateway(redis_url: str):
    settings: dict[str, Any] = {
        "redis_url": redis_url,
        "daily_quota": 3,
        "keys": f"{digest_of('q')} acme",
    }
    header = {"X-API-Key": "q"}
    async with served(**settings) as one, served(**settings) as other:
        found = [
            (await client.get("/v1/services", headers=header)).status_code
            for client in (one, other, one, other)
        ]
    assert found == [200, 200, 200, 429]


@pytest.mark.parametrize(("closed", "status"), [(False, 200), (True, 503)])
async def test_without_redis_requests_are_uncounted_or_refused_as_the_settings_say(
    tmp_path: Path, closed: bool, status: int
):
    url = f"unix://{tmp_path / 'nobody.sock'}"
    async with served(redis_url=url, rate_limit="1/hour", limits_fail_closed=closed) as client:
        answers = [(await client.get("/v1/services")).status_code for _ in range(3)]
    assert answers == [status] * 3


async def test_keys_last_read_stay_valid_while_redis_is_away(tmp_path: Path):
    with redis.on_socket(tmp_path) as url:
        store = keys.KeysInRedis(url)
        store.add(Key(digest=digest_of("k"), tenant="acme"))
        known = gate.Keys([], store, are_needed=True)
        known.refresh()
    with pytest.raises((OSError, redis_client.RedisError)):
        known.refresh()
    assert known.find("k").tenant == "acme"


async def test_keys_that_were_never_read_are_our_fault_and_not_the_callers(tmp_path: Path):
    url = f"unix://{tmp_path / 'nobody.sock'}"
    async with served(redis_url=url, keys_in_redis=True) as client:
        answer = await client.get("/v1/services", headers={"X-API-Key": "k"})
    assert answer.status_code == 503


def test_keys_in_redis_let_the_gateway_listen_beyond_this_machine(redis_url: str):
    assert Settings(host="0.0.0.0", keys_in_redis=True, redis_url=redis_url).needs_key


async def test_every_answer_carries_the_safe_headers():
    async with served() as client:
        answers = [await client.get(path) for path in ("/readyz", "/v1/services", "/v1/images/x")]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"


async def test_pages_of_named_origins_may_call_and_others_not():
    async with served(cors_origins="https://app.example", keys=f"{digest_of('k')} acme") as client:
        ask = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
        asked = await client.options("/v1/assist", headers=ask)
        refused = await client.get("/v1/services", headers={"Origin": "https://app.example"})
        other = await client.get("/v1/services", headers={"Origin": "https://evil.example"})
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == "https://app.example"
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-origin" not in other.headers
