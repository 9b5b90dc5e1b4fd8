"""Devices that have been made known."""

from datetime import UTC, datetime

import pytest

from firmcast.devices import use_cases
from firmcast.devices.model import NewRegistration
from firmcast.ids import ApplicationId

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def now():
    return NOW


@pytest.fixture
def application_id():
    return ApplicationId("app")


@pytest.fixture
def told():
    """What a device of a name says when it registers."""

    def make(name, **changed):
        words = {
            "host": "192.0.2.9",
            "port": 5683,
            "lifetime_seconds": 300,
            "binding": "U",
            "queue_mode": False,
            "lwm2m_version": "1.1",
            "objects": "</5/0>",
        }
        return NewRegistration(endpoint_name=name, **{**words, **changed})

    return make


@pytest.fixture
async def devices(database, event_log, application_id):
    """Five devices by endpoint name."""
    names = [f"node-{number}" for number in range(5)]
    return {
        name: await database.write(use_cases.create, application_id, name, name, NOW, log=event_log) for name in names
    }
