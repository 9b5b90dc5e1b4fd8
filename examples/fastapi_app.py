"""A FastAPI application that receives pushes below /hooks and shows what each device told last.

uvicorn fastapi_app:app --port 9443
"""

import os

from fastapi import FastAPI, HTTPException

from firmcast_sdk import FirmwareStateChanged, FirmwareUpgradeEnded, Receiver, SqliteDeliveryStore

receiver = Receiver(
    secrets=os.environ.get("FIRMCAST_SIGNING_SECRET", "").split(),
    deduplicate=SqliteDeliveryStore(os.environ.get("PUSHES", "pushes.sqlite")),
)
app = FastAPI()
app.mount("/hooks", receiver.asgi)
devices: dict[str, list[str]] = {}


@receiver.on_firmware_state
async def state(event: FirmwareStateChanged) -> None:
    """Remember the state."""
    devices.setdefault(event.device_id, []).append(event.state.value)


@receiver.on_firmware_result
async def result(event: FirmwareUpgradeEnded) -> None:
    """Remember how it ended."""
    devices.setdefault(event.device_id, []).append(event.outcome.value)


@app.get("/devices/{device_id}")
async def show(device_id: str) -> list[str]:
    """Everything that a device told."""
    if device_id not in devices:
        raise HTTPException(404)
    return devices[device_id]
