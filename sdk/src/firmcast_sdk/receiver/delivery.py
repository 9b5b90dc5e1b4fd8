"""One push from its body to its answer, written once: a generator that asks its driver to run the handler.

It yields at most one `HandlerCall`; the driver runs it, sends back or throws in what came of it, and is handed the
answer at the end. The ASGI driver may await, the WSGI driver may block, and neither decides anything.
"""

import asyncio
import inspect
import logging
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

from firmcast_sdk.events import DeviceId
from firmcast_sdk.receiver import answers
from firmcast_sdk.receiver.answers import Answer
from firmcast_sdk.receiver.deduplication import DeduplicationStore, PushKey, Standing
from firmcast_sdk.receiver.reception import Push, ReceptionRules, receive

_log = logging.getLogger("firmcast_sdk.receiver")


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerCall:
    """A handler and the one thing it is called with."""

    handler: Callable[[Any], object]
    argument: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How a receiver treats each push; the ASGI and WSGI applications share one."""

    rules: ReceptionRules
    store: DeduplicationStore | None
    find_handler: Callable[[Push], HandlerCall | None]
    clock: Callable[[], datetime]

    def steps(self, headers: Mapping[str, str], body: bytes) -> Generator[HandlerCall, None, Answer]:
        """The course of one push; yields the handler to run, returns the answer."""
        push = receive(self.rules, headers=headers, body=body, now=self.clock())
        if isinstance(push, Answer):
            return push
        call = self.find_handler(push)
        if call is None:
            return answers.NO_HANDLER
        if self.store is None or push.facts.event_id is None:
            return (yield from _handle(call))
        key = PushKey(
            event_id=push.facts.event_id,
            device_id=DeviceId(push.notification.device_id),
            sequence=push.facts.sequence,
        )
        return (yield from self._handle_once(self.store, key, call))

    def _handle_once(
        self, store: DeduplicationStore, key: PushKey, call: HandlerCall
    ) -> Generator[HandlerCall, None, Answer]:
        try:
            standing = store.take(key, self.clock())
        except Exception:
            _log.exception("the de-duplication store failed for push %s", key.event_id)
            return answers.STORE_FAILED
        match standing:
            case Standing.HANDLED:
                return answers.DUPLICATE
            case Standing.IN_FLIGHT:
                return answers.IN_FLIGHT
            case Standing.NEW:
                return (yield from self._handle_taken(store, key, call))
            case _:
                assert_never(standing)

    def _handle_taken(
        self, store: DeduplicationStore, key: PushKey, call: HandlerCall
    ) -> Generator[HandlerCall, None, Answer]:
        kept = False
        try:
            answer = yield from _handle(call)
            if answer is answers.ACCEPTED:
                store.keep(key, self.clock())
                kept = True
        except Exception:
            _log.exception("the de-duplication store failed for push %s", key.event_id)
            answer = answers.STORE_FAILED
        finally:
            # Also when the server gives the request up: a push that nobody will finish must not stay taken.
            if not kept:
                _release(store, key)
        return answer


def _release(store: DeduplicationStore, key: PushKey) -> None:
    try:
        store.release(key)
    except Exception:
        _log.exception("the de-duplication store failed for push %s", key.event_id)


def _handle(call: HandlerCall) -> Generator[HandlerCall, None, Answer]:
    try:
        yield call
    except Exception:
        _log.exception("the handler of a push failed")
        return answers.HANDLER_FAILED
    return answers.ACCEPTED


async def drive(steps: Generator[HandlerCall, None, Answer]) -> Answer:
    """Run `steps` on the event loop: coroutine functions are awaited, others run in a thread."""
    try:
        call = next(steps)
        try:
            if inspect.iscoroutinefunction(call.handler):
                await call.handler(call.argument)
            else:
                result = await asyncio.to_thread(_call, call)
                if inspect.isawaitable(result):
                    await result
        except BaseException as error:
            steps.throw(error)
        else:
            next(steps)
    except StopIteration as end:
        return _answer(end)
    finally:
        steps.close()
    raise AssertionError("a push has one handler call at most")


def drive_blocking(steps: Generator[HandlerCall, None, Answer]) -> Answer:
    """Run `steps` in this thread: what a handler leaves to be awaited runs on a loop of its own."""
    try:
        call = next(steps)
        try:
            result = _call(call)
            if inspect.isawaitable(result):
                asyncio.run(_wait_for(result))
        except BaseException as error:
            steps.throw(error)
        else:
            next(steps)
    except StopIteration as end:
        return _answer(end)
    finally:
        steps.close()
    raise AssertionError("a push has one handler call at most")


def _call(call: HandlerCall) -> object:
    try:
        return call.handler(call.argument)
    except StopIteration as error:
        # A future cannot carry it: whoever waits would wait for ever.
        raise RuntimeError("the handler ran out of an iterator") from error


async def _wait_for(result: Any) -> None:
    await result


def _answer(end: StopIteration) -> Answer:
    answer = end.value
    assert isinstance(answer, Answer)
    return answer
