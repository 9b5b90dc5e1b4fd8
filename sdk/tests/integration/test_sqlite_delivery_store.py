"""The store in a file: what is left when its process is gone, and what several processes do to each other."""

import contextlib
import itertools
import os
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest

from firmcast_sdk import (
    Claim,
    ClaimLostError,
    FirmwareState,
    PushKey,
    Receiver,
    SqliteDeliveryStore,
    Standing,
)
from firmcast_sdk.testing import Platform

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LEASE = timedelta(seconds=10)
tokens = (f"token-{number}" for number in itertools.count())


def claim(sequence=1, device="d"):
    return Claim(key=PushKey(event_id=f"{device}-{sequence}", device_id=device, sequence=sequence), token=next(tokens))


class Clock:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make(tmp_path, clock):
    """Opens the same file once more, as another process would."""
    with contextlib.ExitStack() as stores:

        def open_again(**options):
            options = {"lease": LEASE, "clock": clock} | options
            store = SqliteDeliveryStore(tmp_path / "pushes.sqlite", **options)
            return stores.enter_context(contextlib.closing(store))

        yield open_again


def test_what_was_handled_outlives_the_process(make):
    store = make()
    first = claim(3)
    store.take(first)
    store.keep(first)
    store.close()
    assert [make().take(claim(number)) for number in (3, 2, 4)] == [
        Standing.HANDLED,
        Standing.SUPERSEDED,
        Standing.NEW,
    ]


def test_a_dead_process_lets_go_after_the_lease(make, clock):
    dead, living = make(), make()
    assert dead.take(claim()) is Standing.NEW
    dead.close()
    clock.now += LEASE - timedelta(microseconds=1)
    assert living.take(claim()) is Standing.IN_FLIGHT
    clock.now += timedelta(microseconds=1)
    assert living.take(claim()) is Standing.NEW


def test_a_clock_that_is_set_back_holds_no_dead_claim_longer_than_the_lease(make, clock):
    dead, living = make(), make()
    assert dead.take(claim()) is Standing.NEW
    dead.close()
    clock.now -= timedelta(days=1)
    assert living.take(claim()) is Standing.IN_FLIGHT
    clock.now += LEASE
    assert living.take(claim()) is Standing.NEW


def test_all_go_on_with_a_new_file_when_theirs_is_deleted(make, tmp_path, caplog):
    early = make()
    first, second = claim(1), claim(2)
    early.take(first)
    early.keep(first)
    for file in tmp_path.iterdir():
        file.unlink()
    assert early.take(second) is Standing.NEW
    assert make().take(claim(2)) is Standing.IN_FLIGHT
    early.keep(second)
    assert make().take(claim(2)) is Standing.HANDLED
    assert "deleted or replaced" in caplog.text


def test_a_program_that_goes_to_another_folder_keeps_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = claim()
    with contextlib.closing(SqliteDeliveryStore("pushes.sqlite")) as store:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        store.take(one)
        store.keep(one)
        assert store.take(claim()) is Standing.HANDLED
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_store_in_memory_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = claim()
    with contextlib.closing(SqliteDeliveryStore(":memory:")) as store:
        store.take(one)
        store.keep(one)
        assert store.take(claim()) is Standing.HANDLED
    assert list(tmp_path.iterdir()) == []


def test_a_living_process_renews_its_claims(tmp_path, clock):
    lease = timedelta(seconds=2)
    with contextlib.closing(SqliteDeliveryStore(tmp_path / "pushes.sqlite", lease=lease, clock=clock)) as store:
        store.take(claim())
        clock.now += lease / 2
        renewed = (NOW + lease / 2 + lease).timestamp()
        with contextlib.closing(sqlite3.connect(tmp_path / "pushes.sqlite")) as reader:
            for _ in range(2_000):
                if reader.execute("SELECT claimed_until FROM firmcast_stream").fetchone() == (renewed,):
                    break
                threading.Event().wait(0.005)
            else:
                pytest.fail("the claim was not renewed")


def test_who_was_taken_for_dead_frees_nothing_but_is_believed(make, clock):
    slow, other = make(), make()
    late, holder = claim(), claim()
    slow.take(late)
    slow.close()  # ends the renewing, as a stopped process would
    clock.now += LEASE
    assert other.take(holder) is Standing.NEW
    awake = make()
    awake.keep(late)
    assert other.take(claim(2)) is Standing.IN_FLIGHT
    other.keep(holder)
    assert other.take(claim(2)) is Standing.NEW


def test_receivers_of_other_names_do_not_meet(make):
    one, other = make(receiver="states"), make(receiver="results")
    assert [one.take(claim()), other.take(claim())] == [Standing.NEW, Standing.NEW]


def test_what_nobody_heard_of_for_long_is_forgotten(make, clock, tmp_path):
    store = make(retention=timedelta(days=30))
    for device in ("old", "new"):
        one = claim(5, device)
        store.take(one)
        store.keep(one)
        clock.now += timedelta(days=20)
    store.prune()
    assert store.take(claim(5, "old")) is Standing.NEW
    assert store.take(claim(5, "new")) is Standing.HANDLED


def test_pruning_happens_by_itself_and_a_failed_push_leaves_nothing(make, clock, tmp_path):
    store = make(retention=timedelta(days=1))
    for number in range(1_000):
        one = claim(1, f"device-{number}")
        store.take(one)
        if number % 2:
            store.release(one)
        else:
            store.keep(one)
        clock.now += timedelta(minutes=10)
    for _ in range(500):
        one = claim(2, "last")
        store.take(one)
        store.keep(Claim(key=one.key, token=one.token))
        store.forget("last")
    with contextlib.closing(sqlite3.connect(tmp_path / "pushes.sqlite")) as reader:
        assert reader.execute("SELECT count(*) FROM firmcast_stream").fetchone()[0] <= 73


def test_a_device_whose_numbers_began_anew_can_be_forgotten(make):
    store = make()
    one = claim(9)
    store.take(one)
    store.keep(one)
    store.forget("d")
    assert store.take(claim(1)) is Standing.NEW


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_opens_the_file_for_itself(make):
    store = make()
    one = claim(1)
    store.take(one)
    store.keep(one)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        mine = claim(2)
        said = [store.take(claim(1)).name, store.take(mine).name]
        store.keep(mine)
        os.write(writer, ",".join(said).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 100) == b"HANDLED,NEW"
    os.close(reader)
    os.close(writer)
    assert store.take(claim(2)) is Standing.HANDLED


OPEN_AT_ONCE = """
import sys
from firmcast_sdk import Claim, PushKey, SqliteDeliveryStore
print("ready", flush=True)
sys.stdin.readline()
store = SqliteDeliveryStore(sys.argv[1])
print(store.take(Claim(key=PushKey(event_id="e", device_id="d", sequence=1), token=sys.argv[2])).name, flush=True)
sys.stdin.readline()
"""


def test_processes_that_start_together_make_the_file_together(tmp_path):
    path = tmp_path / "pushes.sqlite"
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_AT_ONCE, path, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    with contextlib.ExitStack() as stack:
        for worker in workers:
            stack.enter_context(worker)
        assert [worker.stdout.readline() for worker in workers] == ["ready\n"] * 3
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        said = sorted(worker.stdout.readline().strip() for worker in workers)
    assert said == ["IN_FLIGHT", "IN_FLIGHT", "NEW"]


def test_a_lease_that_cannot_be_kept_is_refused(tmp_path):
    with pytest.raises(ValueError, match="lease"):
        SqliteDeliveryStore(tmp_path / "pushes.sqlite", lease=timedelta(seconds=1))


def test_a_file_that_is_none_is_told_at_once(tmp_path):
    (tmp_path / "pushes.sqlite").write_bytes(b"this is not a database, however long it may be" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        SqliteDeliveryStore(tmp_path / "pushes.sqlite")


def test_a_store_that_is_kept_busy_makes_the_push_come_again(make, tmp_path, caplog):
    receiver = Receiver(deduplicate=make(busy_timeout=timedelta(milliseconds=50)))
    receiver.on_firmware_state(print)
    platform = Platform(wsgi=receiver.wsgi)
    push = platform.firmware_state("d", FirmwareState.IDLE)
    with contextlib.closing(sqlite3.connect(tmp_path / "pushes.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = platform.send(push)
        assert (answer.status, answer.json()["error"]) == (500, "store_failed")
        other.execute("ROLLBACK")
    assert platform.send(push).json() == {"result": "accepted"}
    assert "locked" in caplog.text


class TestTransaction:
    @pytest.fixture
    def store(self, make):
        store = make()
        with contextlib.closing(sqlite3.connect(store._path)) as connection:
            connection.execute("CREATE TABLE device (id TEXT PRIMARY KEY, state TEXT, changes INTEGER)")
        return store

    @pytest.fixture
    def changes(self, store):
        def read():
            with contextlib.closing(sqlite3.connect(store._path)) as connection:
                return connection.execute("SELECT id, state, changes FROM device").fetchall()

        return read

    @staticmethod
    def write(store, event):
        with store.transaction(event) as connection:
            connection.execute(
                "INSERT INTO device VALUES (?, ?, 1)"
                " ON CONFLICT (id) DO UPDATE SET state = excluded.state, changes = changes + 1",
                (event.device_id, event.state.value),
            )

    def test_effects_and_record_are_written_together(self, store, changes):
        receiver = Receiver(deduplicate=store)
        receiver.on_firmware_state(lambda event: self.write(store, event))
        platform = Platform(wsgi=receiver.wsgi)
        pushes = platform.firmware_upgrade("d")[:2]
        assert [answer.json()["result"] for answer in platform.send_all([*pushes, *pushes])] == [
            "accepted", "accepted", "duplicate", "duplicate",
        ]  # fmt: skip
        assert changes() == [("d", "downloaded", 2)]

    def test_a_handler_that_fails_after_it_is_not_run_again(self, store, changes, caplog):
        receiver = Receiver(deduplicate=store)

        @receiver.on_firmware_state
        def write_and_fail(event):
            self.write(store, event)
            raise RuntimeError

        platform = Platform(wsgi=receiver.wsgi)
        push = platform.firmware_state("d", FirmwareState.IDLE)
        assert [platform.send(push).status, platform.send(push.again()).json()["result"]] == [500, "duplicate"]
        assert changes() == [("d", "idle", 1)]

    def test_what_fails_inside_leaves_nothing(self, store, changes, caplog):
        receiver = Receiver(deduplicate=store)
        failures = iter([True, False])

        @receiver.on_firmware_state
        def write(event):
            with store.transaction(event) as connection:
                connection.execute("INSERT INTO device VALUES (?, ?, 1)", (event.device_id, event.state.value))
                if next(failures):
                    raise RuntimeError

        platform = Platform(wsgi=receiver.wsgi)
        push = platform.firmware_state("d", FirmwareState.IDLE)
        assert [platform.send(push).status, platform.send(push.again()).json()["result"]] == [500, "accepted"]
        assert changes() == [("d", "idle", 1)]

    def test_who_does_not_hold_the_event_writes_nothing(self, store, changes, make, clock):
        receiver = Receiver(deduplicate=store)
        taken_over = []

        @receiver.on_firmware_state
        def sleep_too_long(event):
            clock.now += LEASE
            taken_over.append(make().take(claim(event.sequence)))
            with pytest.raises(ClaimLostError):
                self.write(store, event)
            raise RuntimeError

        platform = Platform(wsgi=receiver.wsgi)
        assert platform.send(platform.firmware_state("d", FirmwareState.IDLE)).status == 500
        assert taken_over == [Standing.NEW]
        assert changes() == []

    def test_a_process_that_dies_between_the_transaction_and_the_answer_ran_it_once(self, store, changes):
        program = """
import os, sys
from datetime import timedelta
from firmcast_sdk import Receiver, SqliteDeliveryStore
from firmcast_sdk.testing import Platform
store = SqliteDeliveryStore(sys.argv[1], lease=timedelta(seconds=2))
receiver = Receiver(deduplicate=store)
@receiver.on_firmware_state
def write_and_die(event):
    with store.transaction(event) as connection:
        connection.execute("INSERT INTO device VALUES (?, ?, 1)", (event.device_id, event.state.value))
    os.kill(os.getpid(), 9)
platform = Platform(wsgi=receiver.wsgi)
platform.send_all(platform.firmware_upgrade("d"))
"""
        ended = subprocess.run([sys.executable, "-c", program, store._path], capture_output=True, check=False)
        assert ended.returncode == -9, ended.stderr
        receiver = Receiver(deduplicate=store)
        receiver.on_firmware_state(lambda event: self.write(store, event))
        platform = Platform(wsgi=receiver.wsgi)
        assert platform.send(platform.firmware_upgrade("d")[0]).json() == {"result": "duplicate"}
        assert changes() == [("d", "downloading", 1)]
