"""The console, put together: Gradio's page inside an app that promises what every service does."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import gradio as gr
from fastapi import FastAPI

from kit import settings as kit_settings
from kit.app import Resources, build_app
from services.console.client import Gateway
from services.console.document import OwnDocument
from services.console.page import build_page, looks, translations
from services.console.routes import PAGE, router
from services.console.settings import Settings
from services.console.streams import EndsWithService


def create_app(settings: Settings | None = None, gateway: Gateway | None = None) -> FastAPI:
    """Build the service; tests pass settings and a gateway, production passes nothing."""
    chosen = settings or kit_settings.load(Settings)
    api = gateway or Gateway(
        str(chosen.gateway_url),
        wish_seconds=chosen.wish_seconds,
        look_seconds=chosen.look_seconds,
    )

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncGenerator[Resources]:
        async with api:
            yield {}

    app = build_app(
        "console",
        description="The page a person opens first.",
        settings=chosen,
        routers=[router],
        life=life,
    )
    app.add_middleware(OwnDocument, path=f"{PAGE}/")
    app.add_middleware(
        EndsWithService, path=f"{PAGE}/gradio_api/heartbeat/", health=app.state.health
    )
    labels = translations()
    gr.mount_gradio_app(
        app,
        build_page(api, chosen, labels),
        path=PAGE,
        root_path=PAGE,
        footer_links=[],
        run_history=False,  # it would keep keys and pictures a second time
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        show_error=False,
        max_file_size=chosen.max_body_bytes,
        i18n=labels,
        **looks(),
    )
    return app
