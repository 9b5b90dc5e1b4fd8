"""A Flask application that receives pushes below /hooks and shows what each device told last.

flask --app flask_app run --port 9443
"""

import os

from flask import Flask, Response, abort, jsonify

from firmcast_sdk import FirmwareStateChanged, FirmwareUpgradeEnded, Receiver, SqliteDeliveryStore

receiver = Receiver(
    secrets=os.environ.get("FIRMCAST_SIGNING_SECRET", "").split(),
    deduplicate=SqliteDeliveryStore(os.environ.get("PUSHES", "pushes.sqlite")),
)
app = Flask(__name__)
app.wsgi_app = receiver.wsgi.below("/hooks", app.wsgi_app)  # type: ignore[assignment,method-assign]  # Flask's own way
devices: dict[str, list[str]] = {}


@receiver.on_firmware_state
def state(event: FirmwareStateChanged) -> None:
    """Remember the state."""
    devices.setdefault(event.device_id, []).append(event.state.value)


@receiver.on_firmware_result
def result(event: FirmwareUpgradeEnded) -> None:
    """Remember how it ended."""
    devices.setdefault(event.device_id, []).append(event.outcome.value)


@app.get("/devices/<device_id>")
def show(device_id: str) -> Response:
    """Everything that a device told."""
    if device_id not in devices:
        abort(404)
    return jsonify(devices[device_id])
