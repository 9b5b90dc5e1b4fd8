"""What every store of deliveries promises: one suite, and one machine of random steps against an oracle, for each."""

import contextlib
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from firmcast_sdk import Claim, MemoryDeliveryStore, PushKey, SqliteDeliveryStore, Standing
from firmcast_sdk.receiver.standing import REMEMBERED_IDS

LEASE = timedelta(seconds=10)
tokens = (f"token-{number}" for number in itertools.count())


def claim(sequence=1, *, device="d", event=None, repeat=False):
    event_id = event or f"{device}-{sequence}"
    return Claim(key=PushKey(event_id=event_id, device_id=device, sequence=sequence), token=next(tokens), repeat=repeat)


@contextlib.contextmanager
def opened(kind, folder):
    if kind == "memory":
        yield MemoryDeliveryStore()
    else:
        with contextlib.closing(SqliteDeliveryStore(folder / "pushes.sqlite")) as store:
            yield store


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    with opened(request.param, tmp_path) as made:
        yield made


def handle(store, wish):
    assert store.take(wish) is Standing.NEW
    store.keep(wish)


def test_a_push_is_new_until_its_handler_ended_well(store):
    first = claim()
    assert store.take(first) is Standing.NEW
    assert store.take(claim()) is Standing.IN_FLIGHT
    store.keep(first)
    assert store.take(claim()) is Standing.HANDLED


def test_a_push_whose_handler_failed_is_new_again(store):
    first = claim()
    store.take(first)
    store.release(first)
    handle(store, claim())


def test_an_older_event_is_superseded_for_good(store):
    handle(store, claim(3))
    assert store.take(claim(2)) is Standing.SUPERSEDED
    assert store.take(claim(3)) is Standing.HANDLED
    handle(store, claim(4))
    assert store.take(claim(3)) is Standing.HANDLED
    assert store.take(claim(1)) is Standing.SUPERSEDED


def test_one_event_of_a_device_at_a_time(store):
    first, second = claim(1), claim(2)
    assert store.take(first) is Standing.NEW
    assert store.take(second) is Standing.IN_FLIGHT
    assert store.take(claim(1, device="e")) is Standing.NEW
    store.keep(first)
    handle(store, second)


def test_an_older_event_waits_while_it_is_not_known_whether_a_newer_ends_well(store):
    newer = claim(5)
    store.take(newer)
    assert store.take(claim(4)) is Standing.IN_FLIGHT
    store.release(newer)
    handle(store, claim(4))
    handle(store, claim(5))


def test_a_copy_is_told_at_once_also_while_another_event_is_being_handled(store):
    handle(store, claim(1))
    handle(store, claim(3))
    store.take(claim(4))
    assert [store.take(claim(number)) for number in (1, 2, 3, 4)] == [
        Standing.HANDLED,
        Standing.SUPERSEDED,
        Standing.HANDLED,
        Standing.IN_FLIGHT,
    ]


def test_a_repeat_is_new_but_still_one_at_a_time_and_moves_nothing(store):
    handle(store, claim(5))
    again = claim(3, repeat=True)
    assert store.take(again) is Standing.NEW
    assert store.take(claim(6)) is Standing.IN_FLIGHT
    store.keep(again)
    assert store.take(claim(4)) is Standing.SUPERSEDED
    handle(store, claim(6))
    handle(store, claim(5, repeat=True))


def test_without_numbers_the_ids_count(store):
    for event in ("a", "b", "c"):
        handle(store, claim(None, event=event))
    assert [store.take(claim(None, event=event)) for event in ("c", "a")] == [Standing.HANDLED] * 2


def test_without_an_id_the_number_counts(store):
    nameless = [Claim(key=PushKey(event_id=None, device_id="d", sequence=n), token=next(tokens)) for n in (1, 2, 2, 1)]
    handle(store, nameless[0])
    handle(store, nameless[1])
    assert [store.take(one) for one in nameless[2:]] == [Standing.HANDLED, Standing.SUPERSEDED]


def test_an_event_of_no_device_stands_alone(store):
    first, second = claim(None, device=None, event="a"), claim(None, device=None, event="b")
    assert [store.take(first), store.take(second)] == [Standing.NEW, Standing.NEW]
    assert store.take(claim(None, device=None, event="a")) is Standing.IN_FLIGHT
    store.keep(first)
    assert store.take(claim(None, device=None, event="a")) is Standing.HANDLED


def test_the_newest_ids_of_a_device_are_remembered(store):
    for number in range(REMEMBERED_IDS + 1):
        handle(store, claim(None, event=f"event-{number}"))
    assert store.take(claim(None, event="event-1")) is Standing.HANDLED
    assert store.take(claim(None, event="event-0")) is Standing.NEW


def test_what_is_given_back_late_does_not_free_what_another_holds(store):
    late, holder = claim(1), claim(1)
    store.take(late)
    store.release(late)
    assert store.take(holder) is Standing.NEW
    store.release(late)
    assert store.take(claim(2)) is Standing.IN_FLIGHT
    store.keep(late)
    assert store.take(claim(1)) is Standing.HANDLED
    assert store.take(claim(2)) is Standing.IN_FLIGHT
    store.keep(holder)
    handle(store, claim(2))


def test_of_many_threads_one_gets_it(store):
    wishes = [claim() for _ in range(8)]
    barrier = threading.Barrier(len(wishes))

    def take(wish):
        barrier.wait(20)
        return store.take(wish)

    with ThreadPoolExecutor(len(wishes)) as threads:
        standings = list(threads.map(take, wishes))
    assert standings.count(Standing.NEW) == 1
    assert standings.count(Standing.IN_FLIGHT) == 7


def test_strange_names_are_kept_apart(store):
    handle(store, claim(None, device=None, event="device d"))
    handle(store, claim(1, device="d", event="x'; --\u2028é"))
    handle(store, claim(1, device="event d"))
    assert store.take(claim(1, device="d", event="x'; --\u2028é")) is Standing.HANDLED


class Oracle(RuleBasedStateMachine):
    """Written from the promise: what ran last for each device, and what runs now."""

    def __init__(self, store):
        super().__init__()
        self.store = store
        self.last = {}  # device -> number of the event handled last
        self.done = {}  # device -> events that were handled
        self.running = {}  # device -> the claim

    def arrives(self, device, sequence, *, repeat=False):
        wish = claim(sequence, device=device, repeat=repeat)
        copy = sequence in self.done.get(device, set())
        old = sequence <= self.last.get(device, 0)
        if copy and not repeat:
            expected = Standing.HANDLED
        elif old and not repeat:
            expected = Standing.SUPERSEDED
        elif device in self.running:
            expected = Standing.IN_FLIGHT
        else:
            expected = Standing.NEW
            self.running[device] = wish
        assert self.store.take(wish) is expected

    def ends(self, store, device, *, well):
        ended = self.running.pop(device)
        if not well:
            store.release(ended)
            return
        store.keep(ended)
        self.done.setdefault(device, set()).add(ended.key.sequence)
        self.last[device] = max(self.last.get(device, 0), ended.key.sequence)

    @invariant()
    def what_was_handled_stays_handled(self):
        for device, sequence in self.last.items():
            assert self.store.take(claim(sequence, device=device)) is Standing.HANDLED


class StoreMachine(Oracle):
    """Random steps of one process."""

    @rule(device=st.sampled_from("ab"), sequence=st.integers(1, 6), repeat=st.booleans())
    def arrive(self, device, sequence, repeat):
        self.arrives(device, sequence, repeat=repeat)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), well=st.booleans())
    def end(self, data, well):
        self.ends(self.store, data.draw(st.sampled_from(sorted(self.running))), well=well)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_any_course_of_events_follows_the_promise(kind, tmp_path):
    numbers = itertools.count()
    with contextlib.ExitStack() as stores:

        def machine():
            folder = tmp_path / str(next(numbers))
            folder.mkdir()
            stores.close()
            return StoreMachine(stores.enter_context(opened(kind, folder)))

        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=60 if kind == "memory" else 15,
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )


class WorkersMachine(Oracle):
    """Random steps of several workers on one file, of which some die with what they hold."""

    def __init__(self, open_store):
        self.now = datetime(2026, 1, 2, tzinfo=UTC)
        self.open_store = lambda: open_store(lambda: self.now)
        self.workers = [self.open_store() for _ in range(2)]
        self.orphans = {}  # device -> when its lease is over
        self.holder = {}  # device -> the worker that handles an event of it
        super().__init__(self.workers[0])

    @rule(device=st.sampled_from("ab"), sequence=st.integers(1, 6), worker=st.integers(0, 1))
    def arrive_at(self, device, sequence, worker):
        self.store = self.workers[worker]
        if device in self.orphans and self.orphans[device] <= self.now:
            del self.orphans[device]
            self.running.pop(device)
        already = device in self.running
        self.arrives(device, sequence)
        if device in self.running and not already:
            self.holder[device] = worker

    @precondition(lambda self: set(self.running) - set(self.orphans))
    @rule(data=st.data(), well=st.booleans())
    def end(self, data, well):
        device = data.draw(st.sampled_from(sorted(set(self.running) - set(self.orphans))))
        self.ends(self.workers[self.holder.pop(device)], device, well=well)

    @rule(worker=st.integers(0, 1))
    def die(self, worker):
        self.workers[worker].close()
        self.workers[worker] = self.open_store()
        self.store = self.workers[worker]
        for device in [device for device, holder in self.holder.items() if holder == worker]:
            del self.holder[device]
            self.orphans[device] = self.now + LEASE

    @precondition(lambda self: set(self.running) <= set(self.orphans))
    @rule(seconds=st.integers(1, 12))
    def time_passes(self, seconds):
        self.now += timedelta(seconds=seconds)


def test_workers_that_die_follow_the_promise_together(tmp_path):
    numbers = itertools.count()
    with contextlib.ExitStack() as stores:

        def machine():
            stores.close()
            path = tmp_path / f"{next(numbers)}.sqlite"

            def open_store(clock):
                store = SqliteDeliveryStore(path, lease=LEASE, clock=clock)
                return stores.enter_context(contextlib.closing(store))

            return WorkersMachine(open_store)

        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=20,
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )
