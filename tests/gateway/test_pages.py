"""The console's page passes through the gateway: for everyone, and knowing its outer address."""

import hashlib

from tests.gateway.support import Scripted, served

KEYS = f"{hashlib.sha256(b'open sesame').hexdigest()} acme"


async def test_a_page_needs_no_key_where_everything_else_does():
    page = Scripted({"GET /console/": {"seen": True}})
    async with served(services={"console": page.app}, keys=KEYS) as client:
        assert (await client.get("/console/")).json() == {"seen": True}
        assert (await client.get("/v1/services")).status_code == 401


async def test_a_key_that_a_browser_sends_along_stays_here():
    page = Scripted({"GET /console/": {}})
    async with served(services={"console": page.app}) as client:
        await client.get("/console/", headers={"Authorization": "Bearer open sesame"})
    (headers,) = page.headers
    assert "authorization" not in headers


async def test_a_page_hears_its_outer_address():
    page = Scripted({"GET /console/": {}})
    async with served(services={"console": page.app}) as client:
        await client.get("/console/", headers={"Host": "models.example:8080"})
    (headers,) = page.headers
    assert headers["x-forwarded-host"] == "models.example:8080"
    assert headers["x-forwarded-proto"] == "http"


async def test_a_proxy_before_the_gateway_knows_better():
    page = Scripted({"GET /console/": {}})
    told = {"X-Forwarded-Host": "models.example", "X-Forwarded-Proto": "https"}
    async with served(services={"console": page.app}) as client:
        await client.get("/console/", headers=told)
    (headers,) = page.headers
    assert headers["x-forwarded-host"] == "models.example"
    assert headers["x-forwarded-proto"] == "https"


async def test_a_page_is_no_service_that_takes_work():
    async with served(services={"console": Scripted({}).app}) as client:
        states = (await client.get("/v1/services")).json()["services"]
    assert "console" not in {state["name"] for state in states}
