"""`/v1/devices/{device}/check`: what a device's client was seen to do, and what it does when it is asked now.

`/v1/awake-windows`: how long devices in queue mode listen, which nobody sees and an operator has to say.
"""

from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from firmcast.audit import use_cases as audit
from firmcast.audit.model import administrator
from firmcast.clock import Clock
from firmcast.db.port import Database, Transaction
from firmcast.devices import use_cases as devices
from firmcast.devices.model import Device
from firmcast.errors import InvalidValueError
from firmcast.profiles import use_cases
from firmcast.profiles.driving import DriverChoices, choices_of
from firmcast.profiles.model import AwakeWindow, Check, KnownClient, WindowOf, maker_key
from firmcast.profiles.report import Line, Mark, report
from firmcast.rest.answers import no_content, plain_answer
from firmcast.rest.authentication import AuthoriseAdministrator, Scope
from firmcast.rest.endpoints import Answer, Endpoint, Interface, Proof
from firmcast.rest.errors import CONFLICT, INVALID_REQUEST, INVALID_VALUE, NOT_FOUND
from firmcast.rest.requests import decode_known_body, decode_parameters, path_identifier, read_body
from firmcast.settings import UpgradeSettings
from firmcast_sdk.wire.decoding import Hints, Short

_PATH: Final = "/v1/devices/{device}/check"
_WINDOWS_PATH: Final = "/v1/awake-windows"
_BODY_LIMIT: Final = 1 << 12
_MOST_WINDOWS: Final = 1000
_LONGEST_WINDOW_SECONDS: Final = 24 * 3600
_USUAL: Final = "usual"


class LineAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in which clients are known to differ."""

    about: str
    did: str
    """What the device did."""
    will: str
    """What the platform therefore does."""
    mark: Mark
    """`ok` is by the book, `differs` is not, `unknown` was not seen yet."""


class CheckAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a device's client."""

    device_id: str
    endpoint_name: str
    model: str
    """Manufacturer, model and firmware family, for whose devices it holds; empty while they are not known."""
    requested_at: datetime | None
    """When the latest check was asked for; null for never."""
    ended_at: datetime | None
    """Null while it waits for the device."""
    failure: str
    """Why it came to nothing, or to its end early; empty for no failure."""
    report: tuple[LineAnswer, ...]
    """`firmware object` is among them where the device has none (LwM2M Object 5), or does not list it."""


class WindowsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Of which device the awake window is wanted, beside those of the models."""

    device: Short = ""
    """Its id or its endpoint name."""


class WindowRequest(msgspec.Struct, frozen=True, kw_only=True):
    """How long a device in queue mode listens after it was heard, or all of a model do that have none of their own."""

    device: Short = ""
    """Its id or its endpoint name."""
    manufacturer: Short = ""
    """What /3/0/0 of the devices says."""
    model: Short = ""
    """What /3/0/1 of them says."""
    seconds: Annotated[int | None, Hints(least=1, most=_LONGEST_WINDOW_SECONDS)] = None
    """Null, or left out, for as long as the settings say."""


class ModelWindow(msgspec.Struct, frozen=True, kw_only=True):
    """How long the devices of a model listen."""

    manufacturer: str
    model: str
    seconds: int


class DeviceWindow(msgspec.Struct, frozen=True, kw_only=True):
    """How long a device listens."""

    device_id: str
    endpoint_name: str
    seconds: float
    set_for: str
    """`device`, `model`, or `usual` when it is what the settings say."""


class WindowsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The awake windows of devices in queue mode."""

    usual_seconds: float
    """What the settings say (upgrades.awake_window)."""
    models: tuple[ModelWindow, ...]
    """The first 1000, by manufacturer and model."""
    device: DeviceWindow | None
    """The one that was asked for."""


def endpoints(
    *, database: Database, clock: Clock, authorise_administrator: AuthoriseAdministrator, settings: UpgradeSettings
) -> list[Endpoint]:
    """Return the calls."""
    calls = _Calls(database, clock, authorise_administrator, settings)
    managed = partial(
        Endpoint,
        path=_PATH,
        tag="devices",
        interface=Interface.MANAGEMENT,
        proof=Proof.ADMINISTRATOR,
        path_descriptions={"device": "The id of a device, or its endpoint name."},
    )
    return [
        managed(
            method="GET",
            handler=calls.show,
            scope=Scope.UPGRADES_READ,
            summary="Show how a device's client behaves, as far as it was seen, and its latest check",
            answers=(Answer(body=CheckAnswer),),
            errors=(NOT_FOUND,),
        ),
        managed(
            method="POST",
            handler=calls.order,
            scope=Scope.UPGRADES_WRITE,
            summary="Check how a registered device's client behaves; nothing of it is changed",
            description=(
                "The gateway that holds the device reads its firmware object in each format, discovers it, observes"
                " its state for a moment, and resets it when it is Idle already and in no upgrade. What came of it is"
                " shown by GET, once `ended_at` is there."
            ),
            answers=(Answer(status=202, body=CheckAnswer),),
            errors=(NOT_FOUND, CONFLICT),
        ),
        managed(
            method="DELETE",
            handler=calls.forget,
            scope=Scope.UPGRADES_WRITE,
            summary="Forget how a device's client behaves, and its latest check",
            description=(
                "It is learnt anew from then on: ways for packages that the device did not take are tried again. What"
                " it taught of its model stays, and what came of ways there no longer counts for this device."
            ),
            answers=(Answer(status=204),),
            errors=(NOT_FOUND,),
        ),
        *_about_windows(calls),
    ]


def _about_windows(calls: "_Calls") -> list[Endpoint]:
    windows = partial(
        Endpoint, path=_WINDOWS_PATH, tag="devices", interface=Interface.MANAGEMENT, proof=Proof.ADMINISTRATOR
    )
    return [
        windows(
            method="GET",
            handler=calls.show_windows,
            scope=Scope.UPGRADES_READ,
            summary="Show how long devices in queue mode listen after they were heard",
            query=WindowsQuery,
            answers=(Answer(body=WindowsAnswer),),
            errors=(NOT_FOUND, INVALID_REQUEST),
        ),
        windows(
            method="PUT",
            handler=calls.set_window,
            scope=Scope.UPGRADES_WRITE,
            summary="Set how long a device in queue mode, or those of a model, listen after they were heard",
            description=(
                "Name a device, or what the devices of a model say of themselves. What is set for a device counts"
                " before what is set for its model, and both before the settings. A model is known of a device from"
                " its first inspection on."
            ),
            body=WindowRequest,
            answers=(Answer(body=WindowsAnswer),),
            errors=(NOT_FOUND, INVALID_REQUEST, INVALID_VALUE),
        ),
    ]


class _Calls:
    def __init__(
        self, database: Database, clock: Clock, authorise: AuthoriseAdministrator, settings: UpgradeSettings
    ) -> None:
        self._ways_remembered = settings.ways_remembered
        self._usual_window = settings.awake_window
        self._database = database
        self._clock = clock
        self._authorise = authorise

    async def show(self, request: Request) -> Response:
        await self._authorise(request, Scope.UPGRADES_READ)
        called, now = path_identifier(request, "device"), self._clock.now()

        async def read(tx: Transaction) -> CheckAnswer:
            return await self._shown(tx, await devices.find_called(tx, called), now)

        return plain_answer(await self._database.read(read))

    async def order(self, request: Request) -> Response:
        operator = await self._authorise(request, Scope.UPGRADES_WRITE)
        called, now = path_identifier(request, "device"), self._clock.now()

        async def order(tx: Transaction) -> CheckAnswer:
            device = await devices.find_called(tx, called)
            await use_cases.order_check(tx, device.device_id, now)
            await audit.record(tx, administrator(operator.name), "device.check", device.device_id, now)
            return await self._shown(tx, device, now)

        return plain_answer(await self._database.write(order), status=202)

    async def forget(self, request: Request) -> Response:
        operator = await self._authorise(request, Scope.UPGRADES_WRITE)
        called, now = path_identifier(request, "device"), self._clock.now()

        async def forget(tx: Transaction) -> None:
            device = await devices.find_called(tx, called)
            await use_cases.forget_client(tx, device.device_id, now)
            await audit.record(tx, administrator(operator.name), "device.forget", device.device_id, now)

        await self._database.write(forget)
        return no_content()

    async def show_windows(self, request: Request) -> Response:
        await self._authorise(request, Scope.UPGRADES_READ)
        said = decode_parameters(WindowsQuery, request)

        async def read(tx: Transaction) -> WindowsAnswer:
            return await self._windows(tx, await devices.find_called(tx, said.device) if said.device else None)

        return plain_answer(await self._database.read(read))

    async def set_window(self, request: Request) -> Response:
        operator = await self._authorise(request, Scope.UPGRADES_WRITE)
        said = decode_known_body(WindowRequest, await read_body(request, _BODY_LIMIT))
        length, now = _length(said), self._clock.now()

        async def change(tx: Transaction) -> WindowsAnswer:
            device = await devices.find_called(tx, said.device) if said.device else None
            name = maker_key(said.manufacturer, said.model) if device is None else device.device_id
            about = WindowOf.MODEL if device is None else WindowOf.DEVICE
            await use_cases.set_awake_window(tx, about, name, length)
            told = {"about": about.value, "seconds": _USUAL if length is None else f"{length.total_seconds():g}"}
            await audit.record(tx, administrator(operator.name), "awake_window.set", name, now, told)
            return await self._windows(tx, device)

        return plain_answer(await self._database.write(change))

    async def _windows(self, tx: Transaction, device: Device | None) -> WindowsAnswer:
        models = await use_cases.windows_of_models(tx, _MOST_WINDOWS)
        of_device = None
        if device is not None:
            found = (await use_cases.awake_windows(tx, [device.device_id])).get(device.device_id)
            of_device = DeviceWindow(
                device_id=device.device_id,
                endpoint_name=device.endpoint_name,
                seconds=(self._usual_window if found is None else found.length).total_seconds(),
                set_for=_USUAL if found is None else found.about.value,
            )
        return WindowsAnswer(
            usual_seconds=self._usual_window.total_seconds(), models=tuple(map(_of_model, models)), device=of_device
        )

    async def _shown(self, tx: Transaction, device: Device, now: datetime) -> CheckAnswer:
        known = (await use_cases.known(tx, [device.device_id], now))[device.device_id]
        choices = choices_of(known, now, self._ways_remembered)
        return _answer(device, known, await use_cases.latest_check(tx, device.device_id), choices)


def _answer(device: Device, known: KnownClient, check: Check | None, choices: DriverChoices) -> CheckAnswer:
    findings = None if check is None or check.ended_at is None else check.findings
    return CheckAnswer(
        device_id=device.device_id,
        endpoint_name=device.endpoint_name,
        model=known.device.shown.model_key,
        requested_at=None if check is None else check.requested_at,
        ended_at=None if check is None else check.ended_at,
        failure="" if findings is None else findings.failure,
        report=tuple(_line(line) for line in report(known, findings, choices)),
    )


def _length(said: WindowRequest) -> timedelta | None:
    """Return the window that is asked for; None for the usual one."""
    if bool(said.device) is bool(said.manufacturer or said.model):
        raise InvalidValueError("device", "name a device, or the manufacturer and the model of devices")
    return None if said.seconds is None else timedelta(seconds=said.seconds)


def _of_model(window: AwakeWindow) -> ModelWindow:
    manufacturer, _, model = window.name.partition("|")
    return ModelWindow(manufacturer=manufacturer, model=model, seconds=int(window.length.total_seconds()))


def _line(line: Line) -> LineAnswer:
    return LineAnswer(about=line.about, did=line.did, will=line.will, mark=line.mark)
