"""Hugging Face's `text_to_image`: one request in, one PNG out."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.responses import Response

from services.gateway.dialects.painting import PaintingDep
from services.gateway.limits import documented

NAMES = {"num_inference_steps": "steps", "guidance_scale": "guidance"}  # theirs: the painter's

Prompt = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]

router = APIRouter(tags=["huggingface"], dependencies=documented)


class TextToImage(BaseModel):
    """Words to paint; `parameters` are the painter's, under Hugging Face's names or its own."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"inputs": "a red circle", "parameters": {"num_inference_steps": 12}}]
        }
    )

    inputs: Prompt
    parameters: dict[str, Any] = Field(default_factory=dict)


@router.post(
    "/hf/text-to-image",
    summary="Paint a picture, in Hugging Face's words",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}, "description": "The picture."}},
)
async def text_to_image(body: TextToImage, painting: PaintingDep) -> Response:
    """Paint and wait, as long as the request's time budget; a caller who hangs up cancels it."""
    wishes = {NAMES.get(name, name): value for name, value in body.parameters.items()}
    order = {name: value for name, value in wishes.items() if value is not None} | {"count": 1}
    picture = (await painting.paint(body.inputs, order))[0]
    headers = {"Content-Location": picture["url"], "X-Seed": str(picture["seed"])}
    png = await painting.file(picture["url"])
    return Response(png, media_type="image/png", headers=headers)
