"""How devices are listed, read, changed and deleted. Contract page, section 7."""

from datetime import datetime
from types import MappingProxyType
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from firmcast.audit import use_cases as audit
from firmcast.audit.model import application
from firmcast.db.page import Page
from firmcast.db.port import Transaction
from firmcast.devices import registrations, use_cases
from firmcast.devices.api.calls import DeviceParts, device_id_of, given_key, known, require_mute, seen
from firmcast.devices.api.records import modified_details, shown
from firmcast.devices.model import DeviceFilter, Presence
from firmcast.devices.use_cases import ReleaseDevice
from firmcast.errors import ConflictError
from firmcast.ids import ApplicationId
from firmcast.rest.answers import no_content, wire_answer
from firmcast.rest.authentication import require_own
from firmcast.rest.errors import ApiError
from firmcast.rest.paging import RequestedPage, requested_page
from firmcast.rest.requests import decode_body, decode_parameters, read_body
from firmcast_sdk.wire import devices as wire_devices
from firmcast_sdk.wire import errors as wire
from firmcast_sdk.wire.devices import DeviceStatus, NodeType, Sort

_LARGEST_PAGE_SIZE: Final = 1000
_PRESENCE: Final = MappingProxyType({DeviceStatus.ONLINE: Presence.ONLINE, DeviceStatus.OFFLINE: Presence.OFFLINE})


class DeviceCalls:
    """The list, and what is done with one device."""

    def __init__(self, parts: DeviceParts, release_device: ReleaseDevice) -> None:
        self._parts = parts
        self._release_device = release_device

    async def listed(self, request: Request) -> Response:
        application_id = await self._parts.authenticate(request)
        said = decode_parameters(wire_devices.DeviceQuery, request, invalid=wire.APPLICATION_INPUT_INVALID)
        require_own(application_id, said.app_id)
        if said.page_no is None and said.gateway_id is None:
            raise ApiError(wire.GATEWAY_AND_PAGE_MISSING)
        page = requested_page(
            said.page_no,
            said.page_size,
            default_size=wire_devices.DEFAULT_PAGE_SIZE,
            largest_size=_LARGEST_PAGE_SIZE,
            beyond=wire.APPLICATION_INPUT_INVALID,
        )
        devices, total = await self._page_of(application_id, said, page)
        return wire_answer(
            wire_devices.DeviceList(total_count=total, page_no=page.number, page_size=page.size, devices=tuple(devices))
        )

    async def find(self, request: Request) -> Response:
        parts = self._parts
        application_id = await parts.caller(request)
        device, registration = await known(
            parts.database.read(seen, application_id, device_id_of(request), parts.clock.now())
        )
        return wire_answer(shown(device, registration))

    async def modify(self, request: Request) -> Response:
        parts = self._parts
        application_id = await parts.caller(request)
        said = decode_body(wire_devices.ModifyDeviceRequest, await read_body(request, parts.body_limit))
        require_mute(said.mute, wire.INPUT_INVALID)
        key = given_key(said.psk, wire.INPUT_INVALID)
        sealed = None if key is None else parts.sealed(key)
        device_id, now = device_id_of(request), parts.clock.now()

        async def change(tx: Transaction) -> None:
            await use_cases.modify(
                tx, application_id, device_id, modified_details(said), now, log=parts.log, pre_shared_key=sealed
            )
            details = {} if key is None else {"pre_shared_key": "replaced"}
            await audit.record(tx, application(application_id), "device.modify", device_id, now, details)

        await known(parts.database.write(change))
        return no_content()

    async def delete(self, request: Request) -> Response:
        parts = self._parts
        application_id = await parts.caller(request)
        device_id, now = device_id_of(request), parts.clock.now()

        async def change(tx: Transaction) -> None:
            await use_cases.delete(tx, application_id, device_id, now, log=parts.log, release=self._release_device)
            await audit.record(tx, application(application_id), "device.delete", device_id, now)

        try:
            await known(parts.database.write(change))
        except ConflictError as error:
            raise ApiError(wire.INPUT_INVALID, str(error)) from None
        return no_content()

    async def _page_of(
        self, application_id: ApplicationId, said: wire_devices.DeviceQuery, page: RequestedPage
    ) -> tuple[list[wire_devices.Device], int]:
        # Every device here is connected directly, so it is a gateway of itself, and none is ever abnormal.
        if said.status is DeviceStatus.ABNORMAL or said.node_type not in (None, NodeType.GATEWAY):
            return [], 0
        wanted = DeviceFilter(
            device_id=said.gateway_id or "",
            device_type=said.device_type or "",
            presence=None if said.status is None else _PRESENCE[said.status],
            created_from=said.start_time,
            created_until=said.end_time,
            oldest_first=said.sort is Sort.ASC,
        )
        return await self._parts.database.read(
            _listed, application_id, wanted, Page(page.offset, page.size), now=self._parts.clock.now()
        )


async def _listed(
    tx: Transaction, application_id: ApplicationId, wanted: DeviceFilter, page: Page, *, now: datetime
) -> tuple[list[wire_devices.Device], int]:
    devices, total = await use_cases.listed(tx, application_id, wanted, page, now=now)
    live = await registrations.of_devices(tx, [device.device_id for device in devices], now)
    return [shown(device, live.get(device.device_id)) for device in devices], total
