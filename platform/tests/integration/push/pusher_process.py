"""A process that makes events and pushes them, to be killed: pusher_process.py STORE URL EVENTS.

It prints a line when it has begun, and ends by itself when nothing is left to be delivered.
"""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from firmcast.applications import use_cases as applications
from firmcast.clock import SystemClock
from firmcast.db.page import Page
from firmcast.db.sqlite import SqliteDatabase
from firmcast.events.log import EventLog
from firmcast.events.model import EventType, FirmwareStateChanged, NewEvent
from firmcast.ids import DeviceId, DeviceUpgradeId, TaskId
from firmcast.lwm2m.firmware_update import FirmwareUpdateState
from firmcast.push import use_cases as push
from firmcast.push.configuration import destination_rules, sender_limits
from firmcast.push.dispatcher import Dispatcher
from firmcast.push.envelope import encode_event
from firmcast.push.http_sender import HttpSender
from firmcast.push.model import DeliveryFilter
from firmcast.sealing import Sealer
from firmcast.settings import PushSettings
from firmcast.subscriptions import use_cases as subscriptions

DEVICES = 20
SETTINGS = PushSettings(allowed_networks=("127.0.0.0/8",))


async def run(store: Path, url: str, events: int) -> None:
    now = datetime.now(UTC)
    sealer = Sealer(bytes(32))
    database = await SqliteDatabase.open(store, now)
    existing = await database.read(applications.listed)
    if existing:
        application_id = existing[0].application_id
    else:
        application_id = (await database.write(applications.create, "app", sealer, now)).application_id
    await database.write(subscriptions.subscribe, application_id, EventType.FIRMWARE_STATE_CHANGED, url, now)
    log = EventLog(encode=encode_event, projections=[push.fan_out])
    dispatcher = Dispatcher(
        database=database,
        sender=HttpSender(rules=destination_rules(SETTINGS), limits=sender_limits(SETTINGS)),
        clock=SystemClock(),
        settings=SETTINGS,
        sealer=sealer,
    )
    await dispatcher.start()
    print("begun", flush=True)
    for number in range(events):
        new_event = NewEvent(
            application_id=application_id,
            device_id=DeviceId(f"d{number % DEVICES}"),
            task_id=TaskId("task"),
            device_upgrade_id=DeviceUpgradeId("upgrade"),
            occurred_at=datetime.now(UTC),
            synthesised=False,
            fact=FirmwareStateChanged(state=FirmwareUpdateState.DOWNLOADING),
        )
        await database.write(log.append, [new_event])
    while (await database.read(push.pending, DeliveryFilter(), Page()))[1]:
        await asyncio.sleep(0.02)
    await dispatcher.stop(1)
    await database.close()


if __name__ == "__main__":
    uvloop.run(run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
