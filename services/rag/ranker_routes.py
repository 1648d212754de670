"""A collection's own ranker: `python -m training.rag.collection` trains one and puts it here."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request

from kit.app import Tenant, from_lifespan
from kit.errors import TooLarge
from services.rag.rankers import Rankers
from services.rag.schemas import NAME, CollectionRanker

MAX_BYTES = 4 * 1024 * 1024

router = APIRouter(prefix="/v1", tags=["rag"])
RankersDep = Annotated[Rankers, from_lifespan("rankers")]
Name = Annotated[str, Path(pattern=NAME, description="The collection's name.")]
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.put("/collections/{name}/ranker", summary="Give a collection a ranker", openapi_extra=BODY)
async def put_ranker(
    name: Name, request: Request, tenant: Tenant, rankers: RankersDep
) -> CollectionRanker:
    """Take a safetensors file of trees in place of the service's ranker, for this collection.

    It counts at once here and within 5 seconds in other replicas. A file that is none is a 422.
    """
    content = await request.body()
    if len(content) > MAX_BYTES:
        raise TooLarge(f"A ranker has at most {MAX_BYTES} bytes.")
    return await rankers.put((tenant, name), content)


@router.delete(
    "/collections/{name}/ranker", summary="Go back to the service's ranker", status_code=204
)
async def delete_ranker(name: Name, tenant: Tenant, rankers: RankersDep) -> None:
    """Delete the collection's own ranker."""
    await rankers.delete((tenant, name))
