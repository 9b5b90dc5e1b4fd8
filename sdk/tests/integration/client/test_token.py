"""One login or refresh at a time, however many threads or tasks want the platform, and however tokens end."""

import asyncio
import os
import threading
from datetime import UTC, datetime, timedelta

import pytest

from firmcast_sdk import AsyncNorthboundClient, AuthenticationError, ClientClosedError, NorthboundClient, RetryPolicy
from firmcast_sdk.wire import errors
from firmcast_sdk.wire.errors import encode_error

MANY = 40


class Clock:
    def __init__(self):
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self):
        return self.now


def in_threads(client, count=MANY, calls_each=1):
    """Make calls from many threads that begin together; gives what they raised."""
    failures = []
    together = threading.Barrier(count)

    def run():
        together.wait(20)
        try:
            for _ in range(calls_each):
                client.delete_device("d")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return failures


def test_many_threads_log_in_once_and_once_more_when_the_token_is_taken_away(tricky, tricky_url):
    with NorthboundClient(tricky_url, app_id="app", secret="word") as client:
        for logins in (1, 2, 3):
            assert in_threads(client) == []
            assert tricky.logins == logins
            tricky.take_tokens_away()
    assert (tricky.most_logins_at_once, tricky.refreshes) == (1, 0)


def test_a_forked_process_has_connections_of_its_own_and_the_same_token(tricky, tricky_url):
    with NorthboundClient(tricky_url, app_id="app", secret="word") as client:
        client.delete_device("d")
        parents = client._http  # what the child must not touch
        with client._renewing:  # as when another thread logs in at that moment
            child = os.fork()
            if child == 0:
                try:
                    client.delete_device("d")
                    os._exit(client._http is parents)
                finally:
                    os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        client.delete_device("d")
    assert tricky.logins == 1


async def test_many_tasks_log_in_once_and_once_more_when_the_token_is_taken_away(tricky, tricky_url):
    async with AsyncNorthboundClient(tricky_url, app_id="app", secret="word") as client:
        for logins in (1, 2, 3):
            await asyncio.gather(*(client.delete_device("d") for _ in range(MANY)))
            assert tricky.logins == logins
            tricky.take_tokens_away()
    assert (tricky.most_logins_at_once, tricky.refreshes) == (1, 0)


def test_many_threads_refresh_once_before_the_token_ends(tricky, tricky_url):
    clock = Clock()
    with NorthboundClient(tricky_url, app_id="app", secret="word", clock=clock) as client:
        for refreshes in range(4):
            assert in_threads(client) == []
            assert (tricky.logins, tricky.refreshes) == (1, refreshes)
            clock.now += timedelta(seconds=3550)
    assert tricky.most_logins_at_once == 1
    assert len(tricky.heard) == 4 * MANY, "no call was refused for its token"


async def test_many_tasks_refresh_once_before_the_token_ends(tricky, tricky_url):
    clock = Clock()
    async with AsyncNorthboundClient(tricky_url, app_id="app", secret="word", clock=clock) as client:
        for refreshes in range(4):
            await asyncio.gather(*(client.delete_device("d") for _ in range(MANY)))
            assert (tricky.logins, tricky.refreshes) == (1, refreshes)
            clock.now += timedelta(seconds=3550)
    assert tricky.most_logins_at_once == 1
    assert len(tricky.heard) == 4 * MANY, "no call was refused for its token"


def test_threads_go_on_while_tokens_are_taken_away_under_them(tricky, tricky_url):
    """A token serves 100 calls and is gone: calls in flight meet dead tokens, and none of them fails."""
    counted = threading.Lock()
    served = 0

    def answer(_heard):
        nonlocal served
        with counted:
            served += 1
            if served % 100 == 0:
                tricky.take_tokens_away()
        return tricky.say()

    tricky.answer = answer
    with NorthboundClient(tricky_url, app_id="app", secret="word") as client:
        assert in_threads(client, count=16, calls_each=25) == []
    assert served == 400
    assert tricky.logins == 4
    assert tricky.most_logins_at_once == 1


async def test_a_task_that_is_cancelled_while_it_logs_in_hands_the_turn_on(tricky, tricky_url):
    held = threading.Event()
    entered = threading.Event()

    def hold():
        entered.set()
        held.wait(20)

    tricky.hold_logins = hold
    async with AsyncNorthboundClient(tricky_url, app_id="app", secret="word") as client:
        first = asyncio.create_task(client.delete_device("a"))
        await asyncio.to_thread(entered.wait, 20)
        others = [asyncio.create_task(client.delete_device("b")) for _ in range(5)]
        first.cancel()
        held.set()
        # Nobody's turn comes before the first login is served: served later, it would take the second one's token away.
        assert tricky.has_given_a_token.wait(20)
        await asyncio.gather(*others)
        assert first.cancelled()
    assert tricky.logins == 2
    assert len(tricky.heard) == 5


def test_threads_that_wait_for_a_login_that_fails_are_told_so_without_one_of_their_own(tricky, tricky_url):
    tricky.hold_logins = lambda: waiting.wait(20)
    waiting = threading.Event()
    with NorthboundClient(tricky_url, app_id="app", secret="guess") as client:
        releasing = threading.Timer(0.3, waiting.set)
        releasing.start()
        failures = in_threads(client, count=12)
        releasing.join()
    assert [type(failure) for failure in failures] == [AuthenticationError] * 12
    assert len({id(failure) for failure in failures}) == 12
    assert tricky.most_logins_at_once == 1


@pytest.mark.parametrize("logout", [True, False])
async def test_the_token_is_ended_on_closing_when_that_is_wanted(tricky, connect, logout):
    async with connect(logout_on_close=logout) as client:
        await client.delete_device("d")
    assert tricky.logouts == int(logout)
    assert bool(tricky.tokens) is not logout
    with pytest.raises(ClientClosedError):
        await client.delete_device("d")
    await client.close()
    assert tricky.logouts == int(logout)


async def test_closing_never_raises_and_needs_no_login(tricky, connect):
    async with connect(logout_on_close=True):
        pass
    assert (tricky.logins, tricky.logouts) == (0, 0)
    async with connect(logout_on_close=True, retry=RetryPolicy(tries=1)) as client:
        await client.login()
        tricky.act = lambda _: tricky.say(500)


async def test_login_refresh_and_logout_by_hand(tricky, connect):
    async with connect() as client:
        await client.login()
        await client.login()
        assert (tricky.logins, tricky.tokens) == (2, {"access-2"})
        await client.refresh()
        assert (tricky.refreshes, tricky.tokens) == (1, {"access-3"})
        await client.logout()
        assert (tricky.logouts, tricky.tokens) == (1, set())
        await client.delete_device("d")
        assert tricky.logins == 3
        tricky.take_tokens_away()
        await client.refresh()
        assert (tricky.logins, tricky.refreshes) == (4, 1)


async def test_a_wrong_secret_is_told_at_once(tricky, connect):
    async with connect(secret="guess") as client:
        with pytest.raises(AuthenticationError) as caught:
            await client.login()
    assert (caught.value.code, caught.value.status) == ("100208", 401)
    assert tricky.logins == 0


async def test_a_token_that_is_never_accepted_ends_in_its_error(tricky, connect):
    tricky.answer = lambda _: tricky.say(403, encode_error(errors.BAD_TOKEN))
    async with connect() as client:
        with pytest.raises(AuthenticationError) as caught:
            await client.delete_device("d")
    assert caught.value.code == "1010005"
    assert (tricky.logins, len(tricky.heard)) == (2, 2)
