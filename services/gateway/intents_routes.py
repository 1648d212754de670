"""A tenant's own intents: taught, listed and forgotten while the gateway runs."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from kit.app import from_lifespan
from services.gateway.intents_schemas import NAME, NewIntents, OwnIntent, OwnIntentsList
from services.gateway.limits import Tenant
from services.gateway.own_intents import OwnIntents

OwnIntentsDep = Annotated[OwnIntents, from_lifespan("own_intents")]
IntentName = Annotated[str, Path(pattern=NAME, description="The intent's name.")]

router = APIRouter(prefix="/v1/intents", tags=["gateway"])


@router.get("", summary="List your own intents")
async def list_intents(own: OwnIntentsDep, tenant: Tenant) -> OwnIntentsList:
    """Return the tenant's own intents and those that the gateway's file gives to everyone."""
    known = await own.of(tenant)
    return OwnIntentsList(intents=list(known.definitions.values()))


@router.put("", summary="Teach intents")
async def put_intents(body: NewIntents, own: OwnIntentsDep, tenant: Tenant) -> OwnIntentsList:
    """Add intents, or replace those of the same name; they count from the next message on."""
    return OwnIntentsList(intents=await own.put(tenant, body.intents))


@router.get("/{name}", summary="Look at an own intent")
async def get_intent(name: IntentName, own: OwnIntentsDep, tenant: Tenant) -> OwnIntent:
    """Return one definition."""
    return await own.get(tenant, name)


@router.delete("/{name}", summary="Forget an own intent", status_code=204, response_class=Response)
async def delete_intent(name: IntentName, own: OwnIntentsDep, tenant: Tenant) -> None:
    """Forget one of the tenant's own; one of the gateway's file stays (409)."""
    await own.delete(tenant, name)
