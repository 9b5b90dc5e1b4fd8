"""A Django application that receives pushes below /hooks and shows what each device told last, over ASGI.

uvicorn django_asgi:application --port 9443
"""

import os

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import Http404, HttpRequest, JsonResponse
from django.urls import path

from firmcast_sdk import FirmwareStateChanged, FirmwareUpgradeEnded, Receiver, SqliteDeliveryStore

if not settings.configured:  # in a project of several files these lines are its settings.py
    settings.configure(
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        SECRET_KEY=os.environ.get("DJANGO_SECRET_KEY", "for this example"),
    )

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


async def show(_request: HttpRequest, device_id: str) -> JsonResponse:
    """Everything that a device told."""
    if device_id not in devices:
        raise Http404
    return JsonResponse(devices[device_id], safe=False)


urlpatterns = [path("devices/<str:device_id>", show)]
application = receiver.asgi.below("/hooks", get_asgi_application())
