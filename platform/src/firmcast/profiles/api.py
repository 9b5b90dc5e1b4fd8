"""`/v1/devices/{device}/check`: what a device's client was seen to do, and what it does when it is asked now."""

from datetime import datetime, timedelta
from functools import partial
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from firmcast.audit import use_cases as audit
from firmcast.audit.model import administrator
from firmcast.clock import Clock
from firmcast.db.port import Database, Transaction
from firmcast.devices import use_cases as devices
from firmcast.devices.model import Device
from firmcast.profiles import use_cases
from firmcast.profiles.driving import DriverChoices, choices_of
from firmcast.profiles.model import Check, KnownClient
from firmcast.profiles.report import Line, Mark, report
from firmcast.rest.answers import no_content, plain_answer
from firmcast.rest.authentication import AuthoriseAdministrator, Scope
from firmcast.rest.endpoints import Answer, Endpoint, Interface, Proof
from firmcast.rest.errors import CONFLICT, NOT_FOUND
from firmcast.rest.requests import path_identifier

_PATH: Final = "/v1/devices/{device}/check"


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


def endpoints(
    *, database: Database, clock: Clock, authorise_administrator: AuthoriseAdministrator, ways_remembered: timedelta
) -> list[Endpoint]:
    """Return the calls; what came of ways for packages counts for `ways_remembered`."""
    calls = _Calls(database, clock, authorise_administrator, ways_remembered)
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
    ]


class _Calls:
    def __init__(
        self, database: Database, clock: Clock, authorise: AuthoriseAdministrator, ways_remembered: timedelta
    ) -> None:
        self._ways_remembered = ways_remembered
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


def _line(line: Line) -> LineAnswer:
    return LineAnswer(about=line.about, did=line.did, will=line.will, mark=line.mark)
