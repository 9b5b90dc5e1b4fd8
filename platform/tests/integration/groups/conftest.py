"""Many devices, made known in few transactions."""

from datetime import UTC, datetime

import pytest

from firmcast.devices import use_cases as devices
from firmcast.ids import ApplicationId

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def now():
    return NOW


@pytest.fixture
def application_id():
    return ApplicationId("app")


@pytest.fixture
def make_devices(database, event_log, application_id):
    """Return what makes devices known and tells their ids."""

    async def make(number, owner=application_id, prefix="node"):
        async def create(tx):
            return [
                (
                    await devices.create(tx, owner, f"{prefix}-{index}", f"{prefix}-{index}", NOW, log=event_log)
                ).device_id
                for index in range(number)
            ]

        return await database.write(create)

    return make
