"""A Starlette application that receives pushes below /hooks and shows what each device told last.

uvicorn starlette_app:app --port 9443
"""

import os

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from firmcast_sdk import FirmwareStateChanged, FirmwareUpgradeEnded, Receiver, SqliteDeliveryStore

receiver = Receiver(
    secrets=os.environ.get("FIRMCAST_SIGNING_SECRET", "").split(),
    deduplicate=SqliteDeliveryStore(os.environ.get("PUSHES", "pushes.sqlite")),
)
devices: dict[str, list[str]] = {}


@receiver.on_firmware_state
async def state(event: FirmwareStateChanged) -> None:
    """Remember the state."""
    devices.setdefault(event.device_id, []).append(event.state.value)


@receiver.on_firmware_result
async def result(event: FirmwareUpgradeEnded) -> None:
    """Remember how it ended."""
    devices.setdefault(event.device_id, []).append(event.outcome.value)


async def show(request: Request) -> JSONResponse:
    """Everything that a device told."""
    device_id = request.path_params["device_id"]
    if device_id not in devices:
        raise HTTPException(404)
    return JSONResponse(devices[device_id])


app = Starlette(routes=[Mount("/hooks", receiver.asgi), Route("/devices/{device_id}", show)])
