"""What is known of clients on both stores: learnt from the journal, kept for device and model, and forgotten."""

from datetime import UTC, datetime, timedelta

import pytest

from firmcast.db.postgres import PostgresDatabase
from firmcast.db.statement import Statement, portable
from firmcast.devices import commands, registrations
from firmcast.devices import use_cases as devices
from firmcast.devices.model import CommandKind, NewRegistration
from firmcast.errors import ConflictError
from firmcast.ids import ApplicationId
from firmcast.journal import use_cases as journal
from firmcast.journal.model import DeviceNote, Exchange, ExchangeKind, Note, Transfer
from firmcast.lwm2m.firmware_update import TransferWay
from firmcast.profiles import store
from firmcast.profiles import use_cases as profiles
from firmcast.profiles.driving import choices_of
from firmcast.profiles.model import Findings, Traits, WindowOf, maker_key

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
TOLD = {"/3/0/0": "Acme", "/3/0/1": "M1", "/3/0/3": "1.0"}


class Stage:
    """Devices that are registered, and what is noted of them."""

    def __init__(self, database, log) -> None:
        self.database = database
        self.log = log

    async def device(self, name: str):
        made = await self.database.write(
            devices.create, ApplicationId("a"), name, "v", NOW, log=self.log, activation_seconds=0
        )
        told = NewRegistration(
            endpoint_name=name,
            host="192.0.2.1",
            port=5683,
            lifetime_seconds=3600,
            binding="U",
            queue_mode=False,
            lwm2m_version="1.1",
            objects='</>;rt="oma.lwm2m";ct=112,</5/0>;ver=1.1',
        )
        await self.database.write(registrations.register, [told], NOW, log=self.log)
        return made.device_id

    async def note(self, device_id, *whats):
        noted = [
            DeviceNote(device_id=device_id, note=Note(occurred_at=NOW + timedelta(seconds=number), what=what))
            for number, what in enumerate(whats)
        ]
        await self.database.write(journal.write, noted)

    async def learn(self, device_id):
        return await self.database.write(profiles.learn, device_id, NOW + timedelta(minutes=1))

    async def known(self, device_id):
        return (await self.database.read(profiles.known, [device_id], NOW + timedelta(minutes=1)))[device_id]


@pytest.fixture
def stage(database, event_log):
    return Stage(database, event_log)


def identity():
    return [
        Exchange(kind=ExchangeKind.READ, path=path, told={path: value}, answer="2.05") for path, value in TOLD.items()
    ]


async def test_what_one_device_teaches_holds_for_another_of_its_model(stage) -> None:
    first, second = await stage.device("one"), await stage.device("two")
    fetched = Transfer(way="uri", began_at=NOW, last_at=NOW, blocks=4, reached=1024, total=9999, block=256)
    await stage.note(first, *identity(), fetched)
    await stage.note(second, *identity())
    learnt = await stage.learn(first)
    assert (learnt.device.shown.model_key, learnt.device.traits) == ("Acme|M1|1", Traits(largest_block=256))
    await stage.learn(second)
    known = await stage.known(second)
    assert (known.device.traits, known.model) == (Traits(), Traits(largest_block=256))
    assert await stage.known(first) == learnt


async def test_of_a_device_without_a_history_its_registration_is_known(stage) -> None:
    known = await stage.known(await stage.device("one"))
    shown = known.device.shown
    assert (shown.lwm2m_version, shown.object_version, shown.content_formats) == ("1.1", "1.1", (112,))
    assert not shown.was_asked


async def test_nothing_new_writes_nothing(stage) -> None:
    device_id = await stage.device("one")
    await stage.note(device_id, *identity())
    await stage.learn(device_id)

    async def changed(tx):
        return (await tx.fetch_row(portable("SELECT changed_at FROM device_client")))[0]

    before = await stage.database.read(changed)
    await stage.database.write(profiles.learn, device_id, NOW + timedelta(hours=1))
    assert await stage.database.read(changed) == before


async def test_a_check_is_an_order_that_teaches(stage) -> None:
    device_id = await stage.device("one")
    heard = []
    stage.database.listen(commands.DEVICE_COMMANDS, heard.extend)
    assert await stage.database.read(profiles.latest_check, device_id) is None
    await stage.database.write(profiles.order_check, device_id, NOW)
    await stage.database.write(profiles.order_check, device_id, NOW)  # again, in the place of the first
    (order,) = await stage.database.read(commands.waiting, [device_id])
    assert order.kind is CommandKind.CHECK
    assert heard[-1] == order
    waiting = await stage.database.read(profiles.latest_check, device_id)
    assert (waiting.requested_at, waiting.ended_at) == (NOW, None)
    findings = Findings(formats={"TLV": "2.05"}, read_format=11542, told=TOLD, observe="2.05", observed=True)
    await stage.database.write(profiles.end_check, device_id, findings, NOW + timedelta(seconds=1))
    ended = await stage.database.read(profiles.latest_check, device_id)
    assert (ended.findings, ended.ended_at) == (findings, NOW + timedelta(seconds=1))
    known = await stage.known(device_id)
    assert (known.device.shown.model_key, known.model.read_format) == ("Acme|M1|1", 11542)


async def test_who_is_not_registered_cannot_be_checked(stage) -> None:
    made = await stage.database.write(
        devices.create, ApplicationId("a"), "away", "v", NOW, log=stage.log, activation_seconds=0
    )
    with pytest.raises(ConflictError):
        await stage.database.write(profiles.order_check, made.device_id, NOW)


REFUSAL = (
    Exchange(
        kind=ExchangeKind.WRITE,
        path="/5/0/1",
        told={"/5/0/1": "https://192.0.2.1/fw/..."},
        answer="4.05",
        order="transfer_by_uri",
    ),
    Exchange(kind=ExchangeKind.READ, path="/5/0", told={"/5/0/3": "0", "/5/0/5": "0"}, answer="2.05"),
)
MONTH = timedelta(days=30)


def avoided(known, now=NOW + timedelta(minutes=2)):
    return choices_of(known, now, MONTH).avoided_ways


async def test_what_is_forgotten_of_a_device_is_learnt_from_what_follows_alone(stage) -> None:
    device_id, fellow = await stage.device("one"), await stage.device("two")
    heard = []
    stage.database.listen(profiles.CLIENTS_FORGOTTEN, heard.extend)
    await stage.note(device_id, *identity(), *REFUSAL)
    await stage.note(fellow, *identity())
    assert avoided(await stage.learn(device_id)) == (TransferWay.HTTPS,)
    assert avoided(await stage.learn(fellow)) == (TransferWay.HTTPS,), "it is of the same model"
    await stage.database.write(profiles.forget_client, device_id, NOW + timedelta(seconds=30))
    assert heard == [device_id]
    assert avoided(await stage.learn(device_id)) == ()
    again = [Note(occurred_at=NOW + timedelta(seconds=40), what=what) for what in (*identity(), *REFUSAL)]
    await stage.database.write(journal.write, [DeviceNote(device_id=device_id, note=note) for note in again])
    assert avoided(await stage.learn(device_id)) == (TransferWay.HTTPS,)
    assert avoided(await stage.known(fellow)) == (TransferWay.HTTPS,)
    assert avoided(await stage.known(fellow), NOW + timedelta(days=31)) == ()


async def test_silence_is_known_for_a_while_and_until_it_is_forgotten(stage) -> None:
    device_id, fellow = await stage.device("one"), await stage.device("two")
    let_go_by = Exchange(kind=ExchangeKind.READ, path="/5/0", failure="no answer from the device: timeout")
    answered = Exchange(kind=ExchangeKind.READ, path="/5/0/1", told={"/5/0/1": ""}, answer="2.05")
    await stage.note(device_id, *identity(), let_go_by, answered)
    await stage.note(fellow, *identity())

    def is_silent(known, now=NOW + timedelta(minutes=1)) -> bool:
        return choices_of(known, now, MONTH).leaves_objects_unanswered

    assert is_silent(await stage.learn(device_id))
    assert is_silent(await stage.learn(fellow)), "it is of the same model"
    known = await stage.known(device_id)
    assert (is_silent(known), is_silent(known, NOW + timedelta(days=31))) == (True, False)
    await stage.database.write(profiles.forget_client, device_id, NOW + timedelta(seconds=30))
    assert not is_silent(await stage.learn(device_id))


async def test_a_device_that_registers_with_other_objects_is_tried_anew(stage) -> None:
    device_id = await stage.device("one")
    await stage.note(device_id, *identity(), *REFUSAL)
    assert avoided(await stage.learn(device_id)) == (TransferWay.HTTPS,)
    told = NewRegistration(
        endpoint_name="one",
        host="192.0.2.1",
        port=5683,
        lifetime_seconds=3600,
        binding="U",
        queue_mode=False,
        lwm2m_version="1.1",
        objects='</>;rt="oma.lwm2m";ct=112,</5/0>;ver=1.1,</9/0>',
    )
    await stage.database.write(registrations.register, [told], NOW + timedelta(seconds=30), log=stage.log)
    assert avoided(await stage.known(device_id)) == (), "as soon as it registers"
    assert avoided(await stage.learn(device_id)) == (), "nor is it learnt again"
    assert avoided(await stage.known(device_id)) == ()


async def test_what_is_known_of_a_device_goes_with_it(stage) -> None:
    device_id = await stage.device("one")
    await stage.note(device_id, *identity())
    await stage.learn(device_id)
    await stage.database.write(profiles.order_check, device_id, NOW)
    await stage.database.write(profiles.forget_devices, [device_id])
    assert await stage.database.read(store.known, [device_id]) == {}
    assert await stage.database.read(profiles.latest_check, device_id) is None


async def test_a_window_is_set_for_a_device_before_its_model_and_goes_with_the_device(stage) -> None:
    one, two, three = [await stage.device(name) for name in ("one", "two", "three")]
    for device_id in (one, two):
        await stage.note(device_id, *identity())
        await stage.learn(device_id)
    heard = []
    stage.database.listen(profiles.AWAKE_WINDOWS_CHANGED, heard.extend)

    async def set_window(about, name, seconds) -> None:
        length = None if seconds is None else timedelta(seconds=seconds)
        await stage.database.write(profiles.set_awake_window, about, name, length)

    async def lengths():
        found = await stage.database.read(profiles.awake_windows, [one, two, three])
        return {device_id: window.length.total_seconds() for device_id, window in found.items()}

    assert await lengths() == {}
    await set_window(WindowOf.MODEL, maker_key("Acme", "M1"), 20)
    await set_window(WindowOf.DEVICE, two, 2)
    await set_window(WindowOf.DEVICE, three, 8)
    assert await lengths() == {one: 20.0, two: 2.0, three: 8.0}
    assert heard == [profiles.EVERY_DEVICE, two, three]
    (of_model,) = await stage.database.read(profiles.windows_of_models, 10)
    assert (of_model.name, of_model.length) == ("Acme|M1", timedelta(seconds=20))
    await set_window(WindowOf.DEVICE, two, None)
    await stage.database.write(profiles.forget_client, one, NOW)
    await stage.database.write(profiles.forget_devices, [three])
    assert await lengths() == {two: 20.0}, "of the first nothing is known before it is inspected again"


PLANS = {
    "SELECT_KNOWN": ((["d7"],), "device_client"),
    "SELECT_MODEL": (("m7",), "client_model"),
    "END_CHECK": (("d7", 1, "{}"), "device_check"),
    "SELECT_CHECK": (("d7",), "device_check"),
    "DELETE_CLIENTS": ((["d7"],), "device_client"),
    "DELETE_CHECKS": ((["d7"],), "device_check"),
    "SELECT_WINDOWS": (("device", ["d7"]), "awake_window"),
    "SELECT_WINDOWS_ABOUT": (("model", 10), "awake_window"),
    "DELETE_WINDOWS": (("device", ["d7"]), "awake_window"),
}
WITHOUT_A_PLAN = {"UPSERT_CLIENT", "UPSERT_MODEL", "UPSERT_CHECK", "UPSERT_WINDOW"}


def test_every_statement_has_a_plan() -> None:
    statements = {name for name, each in vars(store).items() if isinstance(each, Statement)}
    assert set(PLANS) | WITHOUT_A_PLAN == statements


async def test_every_statement_finds_its_rows_by_the_key(database) -> None:
    is_postgres = isinstance(database, PostgresDatabase)
    tables = ("device_client", "client_model", "device_check", "awake_window")

    async def fill(tx) -> None:
        if not is_postgres:
            return
        for statement in (
            "INSERT INTO device_client SELECT 'd' || n, 'm' || n % 9, '{}', n FROM generate_series(1, 5000) n",
            "INSERT INTO client_model SELECT 'm' || n, '{}', n FROM generate_series(1, 5000) n",
            "INSERT INTO device_check SELECT 'd' || n, n, n, '{}' FROM generate_series(1, 5000) n",
            "INSERT INTO awake_window SELECT 'device', 'd' || n, n FROM generate_series(1, 5000) n",
            *(f"ANALYZE {table}" for table in tables),
        ):
            await tx.execute(portable(statement))

    async def plan(tx, name):
        statement, arguments = getattr(store, name), PLANS[name][0]
        if is_postgres:
            rows = await tx.fetch(portable(f"EXPLAIN (COSTS FALSE) {statement.postgres}"), *arguments)
        else:
            rows = await tx.fetch(portable(f"EXPLAIN QUERY PLAN {statement.sqlite}"), *arguments)
        return " | ".join(str(row[-1]) for row in rows)

    await database.write(fill)
    for name, (_, table) in PLANS.items():
        steps = await database.write(plan, name)
        assert f"Seq Scan on {table}" not in steps, (name, steps)
        assert f"SCAN {table}" not in steps, (name, steps)
    for table in tables:
        await database.write(lambda tx, table=table: tx.execute(portable(f"DELETE FROM {table}")))
