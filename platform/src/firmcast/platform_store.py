"""Which store the platform stands on, and with whom: an SQLite file that is its own, or PostgreSQL that nodes share."""

import os
import socket
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from firmcast.applications.sealed import SEALED_APPLICATIONS
from firmcast.applications.use_cases import APPLICATIONS_CHANGED
from firmcast.clock import Clock
from firmcast.db.columns import from_column, to_column
from firmcast.db.metrics import StoreMetrics
from firmcast.db.postgres import PostgresDatabase
from firmcast.db.sharing import Number, SharedChannel, StoredMoment, Text
from firmcast.db.sqlite import STORE_FILE, SqliteDatabase
from firmcast.devices.activations import ACTIVATIONS_AWAITED
from firmcast.devices.commands import DEVICE_COMMANDS, DEVICES_COMMANDED
from firmcast.devices.holding import GATEWAYS_LEFT, REGISTRATIONS_MOVED
from firmcast.devices.keys import DEVICE_KEYS_CHANGED, SEALED_DEVICES
from firmcast.devices.model import DeviceCommand, RegistrationMoved
from firmcast.events.log import NEW_EVENTS
from firmcast.ids import DeviceId, EventId, GatewayId, RegistrationId, SubscriptionId
from firmcast.nodes.keeper import Keeper
from firmcast.profiles.use_cases import AWAKE_WINDOWS_CHANGED, CLIENTS_FORGOTTEN
from firmcast.push import arrivals, doubts
from firmcast.push.replay.model import Told
from firmcast.push.replay.use_cases import DELIVERIES_WITHDRAWN, REPLAYS_CHANGED
from firmcast.push.use_cases import CALLBACKS_HELD, LANES_UNBLOCKED
from firmcast.settings import Settings
from firmcast.subscriptions.use_cases import SUBSCRIPTIONS_CHANGED
from firmcast.upgrades.use_cases import SLEEPERS_AWAITED, UPGRADES_CHANGED


def _columns(moments: Sequence[datetime]) -> list[int]:
    return [to_column(moment) for moment in moments]


def _moments(columns: Sequence[int]) -> list[datetime]:
    return [from_column(column) for column in columns]


def _device_ids(commands: Sequence[DeviceCommand]) -> list[str]:
    return sorted({command.device_id for command in commands})


def _moves_as_lists(moves: Sequence[RegistrationMoved]) -> list[tuple[str, str, str, int]]:
    return [(moved.device_id, moved.registration_id, moved.gateway, moved.epoch) for moved in moves]


def _as_moves(lists: Sequence[tuple[str, str, str, int]]) -> list[RegistrationMoved]:
    return [
        RegistrationMoved(
            device_id=DeviceId(device_id),
            registration_id=RegistrationId(registration_id),
            gateway=GatewayId(gateway),
            epoch=epoch,
        )
        for device_id, registration_id, gateway, epoch in lists
    ]


def _as_lists(withdrawn: Sequence[Told]) -> list[tuple[int, str, str, int]]:
    return [(told.event_id, told.subscription_id, told.device_id, told.sequence) for told in withdrawn]


def _as_told(lists: Sequence[tuple[int, str, str, int]]) -> list[Told]:
    return [
        Told(
            event_id=EventId(event_id),
            subscription_id=SubscriptionId(subscription_id),
            device_id=DeviceId(device_id),
            sequence=sequence,
        )
        for event_id, subscription_id, device_id, sequence in lists
    ]


SHARED: Final = [
    *arrivals.SHARED,
    doubts.SHARED,
    SharedChannel(channel=SUBSCRIPTIONS_CHANGED, item=Text),
    SharedChannel(channel=APPLICATIONS_CHANGED, item=Text),
    SharedChannel(channel=NEW_EVENTS, item=Number),
    SharedChannel(channel=UPGRADES_CHANGED, item=StoredMoment, told=_columns, heard=_moments),
    SharedChannel(channel=SLEEPERS_AWAITED, item=Text),
    SharedChannel(channel=ACTIVATIONS_AWAITED, item=StoredMoment, told=_columns, heard=_moments),
    SharedChannel(channel=REPLAYS_CHANGED, item=Number),
    SharedChannel(channel=LANES_UNBLOCKED, item=tuple[Text, Text]),
    SharedChannel(channel=CALLBACKS_HELD, item=tuple[Text, StoredMoment]),
    SharedChannel(channel=DELIVERIES_WITHDRAWN, item=tuple[Number, Text, Text, Number], told=_as_lists, heard=_as_told),
    SharedChannel(channel=DEVICE_KEYS_CHANGED, item=Text),
    SharedChannel(
        channel=REGISTRATIONS_MOVED, item=tuple[Text, Text, Text, Number], told=_moves_as_lists, heard=_as_moves
    ),
    SharedChannel(channel=GATEWAYS_LEFT, item=Text),
    SharedChannel(channel=CLIENTS_FORGOTTEN, item=Text),
    SharedChannel(channel=AWAKE_WINDOWS_CHANGED, item=Text),
    SharedChannel(channel=DEVICE_COMMANDS, item=Text, heard_as=DEVICES_COMMANDED, told=_device_ids),
]
"""What nodes tell each other."""

SEALED: Final = [SEALED_APPLICATIONS, SEALED_DEVICES]
"""All that is sealed in the store: a new key seals each of these anew."""


def sealing_key_file(settings: Settings) -> Path:
    """Return the file of the key that secrets in the store are sealed with."""
    return settings.sealing_key_file or settings.data / "sealing-key"


async def open_store(
    settings: Settings, clock: Clock, metrics: StoreMetrics | None = None, *, gateway_id: GatewayId | None = None
) -> tuple[SqliteDatabase | PostgresDatabase, Keeper | None]:
    """Open the store of the settings; return it with the keeper of this node, who has yet to be started.

    `gateway_id` names the gateway of this process.

    Raises:
        StartError: it cannot be used.
        StoreInUseError: another process has it, and it is one that cannot be shared.
    """
    if settings.database_url is None:
        return await SqliteDatabase.open(
            settings.data / STORE_FILE, clock.now(), metrics=metrics, migrates=settings.migrate_at_start
        ), None
    url = settings.database_url.get_secret_value()
    database = await PostgresDatabase.open(
        url, clock.now(), shared=SHARED, metrics=metrics, migrates=settings.migrate_at_start
    )
    keeper = Keeper(
        database=database,
        clock=clock,
        name=settings.nodes.name or f"{socket.gethostname()}:{os.getpid()}",
        roles=settings.roles,
        life=settings.nodes.lease_life,
        gateway_id=gateway_id,
    )
    return database, keeper
