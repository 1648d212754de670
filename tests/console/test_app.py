"""The console keeps what every service promises, and its page asks nobody else for anything."""

import re

from services.console.app import create_app
from services.console.settings import Settings
from tests.support import serve


async def test_the_page_calls_no_other_host():
    async with serve(create_app(Settings())) as client:
        page = await client.get("/console/")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
    wanted = re.findall(r'(?:src|href)="(https?:[^"]*)"', page.text)
    assert not wanted
    assert "manifest.json" not in page.text


async def test_the_page_is_found_without_its_slash_at_whatever_host():
    async with serve(create_app(Settings())) as client:
        for path in ("/", "/console"):
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["location"]) == (307, "/console/")


async def test_the_page_knows_its_outer_address():
    told = {"X-Forwarded-Host": "models.example", "X-Forwarded-Proto": "https"}
    async with serve(create_app(Settings())) as client:
        config = (await client.get("/console/config", headers=told)).json()
    assert config["root"] == "https://models.example/console"


async def test_probes_answer_and_gradio_reports_to_nobody():
    async with serve(create_app(Settings())) as client:
        for path in ("/livez", "/readyz", "/metrics", "/info"):
            assert (await client.get(path)).status_code == 200
        config = (await client.get("/console/config")).json()
    assert config["analytics_enabled"] is False
    assert config["footer_links"] == []


async def test_between_services_a_token_is_needed_where_one_is_set():
    async with serve(create_app(Settings(internal_token="between us"))) as client:
        assert (await client.get("/console/")).status_code == 401
        allowed = await client.get("/console/", headers={"X-Internal-Token": "between us"})
    assert allowed.status_code == 200
