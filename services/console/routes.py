"""The console's own addresses; Gradio serves what lies below `/console/`."""

from fastapi import APIRouter
from starlette.responses import RedirectResponse

PAGE = "/console"

router = APIRouter(include_in_schema=False)


@router.api_route("/", methods=["GET", "HEAD"])
@router.api_route(PAGE, methods=["GET", "HEAD"])
async def to_the_page() -> RedirectResponse:
    """Lead to the page; the address is relative, as only the gateway knows the outer one."""
    return RedirectResponse(f"{PAGE}/")
