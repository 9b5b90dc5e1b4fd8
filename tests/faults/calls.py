"""Calls of the platform's interfaces, as its applications and operators make them."""

import ssl
from typing import Any

import httpx2
from tests.faults.processes import Application, Engine

from firmcast_sdk import AsyncNorthboundClient, TransportOptions


def client_of(engine: Engine, application: Application) -> AsyncNorthboundClient:
    context = ssl.create_default_context(cafile=engine.running["authority"])
    return AsyncNorthboundClient(
        engine.running["url"],
        app_id=application.application_id,
        secret=application.secret,
        options=TransportOptions(verify=context),
    )


async def upload_package(engine: Engine, application: Application) -> str:
    query = {"application_id": application.application_id, "name": "image.bin", "version": "1.1.0"}
    made = await manage(engine, application, "POST", "/v1/firmware", params=query, content=bytes(4096))
    return str(made["package_id"])


async def manage(engine: Engine, application: Application, method: str, path: str, **given: Any) -> Any:
    """Call the management API."""
    context = ssl.create_default_context(cafile=engine.running["authority"])
    headers = {"authorization": f"Bearer {application.admin_token}"}
    async with httpx2.AsyncClient(base_url=engine.running["url"], verify=context, trust_env=False) as client:
        answer = await client.request(method, path, headers=headers, **given)
    assert answer.is_success, answer.text
    return answer.json()
