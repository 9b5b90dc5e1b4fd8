"""Worker processes are killed at random while a sender repeats, reorders and replays: the promise holds all the same.

Workers and sender append to one record. So its order is the order of what happened: when the handler began and ended,
when the sender was told 200, when a worker was dead.
"""

import contextlib
import http.client
import os
import random
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from firmcast_sdk.receiver.reception import DEFAULT_PATH
from firmcast_sdk.testing import Platform

WORKER = Path(__file__).with_name("receiver_worker.py")
WORKERS = 3
DEVICES = 8
KILLS = 12


class Application:
    """Several worker processes behind one listening socket."""

    def __init__(self, interface, folder):
        self.interface = interface
        self.folder = folder
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.record = os.open(folder / "record", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.workers = [self.start() for _ in range(WORKERS)]

    def start(self):
        descriptor = self.listener.fileno()
        arguments = [self.interface, str(descriptor), self.folder / "pushes.sqlite", self.folder / "record"]
        worker = subprocess.Popen(
            [sys.executable, WORKER, *arguments], pass_fds=[descriptor], stdout=subprocess.PIPE, text=True
        )
        if worker.stdout.readline() != "ready\n":
            self.end(worker)
            pytest.fail("a worker did not start")
        return worker

    def kill_one(self, draw):
        place = draw.randrange(WORKERS)
        worker = self.workers[place]
        self.end(worker)
        self.workers[place] = self.start()

    def end(self, worker):
        worker.kill()
        worker.wait()
        worker.stdout.close()
        self.note("killed", worker.pid)

    def note(self, *words):
        os.write(self.record, (" ".join(map(str, words)) + "\n").encode())

    def close(self):
        for worker in self.workers:
            self.end(worker)
        self.listener.close()
        os.close(self.record)

    def lines(self):
        return [line.split() for line in (self.folder / "record").read_text().splitlines()]


class Sender:
    """Sends the events of one device: mostly in order, but as unlucky as a platform that crashes can be."""

    def __init__(self, application, device_id):
        url = f"http://127.0.0.1:{application.listener.getsockname()[1]}{DEFAULT_PATH}"
        self.platform = Platform(url=url)
        self.application = application
        self.device_id = device_id
        self.draw = random.Random(device_id)
        self.sent = []

    def send_until_killed_enough(self, enough):
        while not enough.is_set() or len(self.sent) < 20:
            pushes = self.platform.firmware_upgrade(self.device_id)
            if self.draw.random() < 0.2:
                first = self.draw.randrange(4)
                pushes[first : first + 2] = reversed(pushes[first : first + 2])
            for push in pushes:
                self.sent.append(push)
                if self.draw.random() < 0.1:
                    self.attempt(push)  # a crash of the sender: whether it arrived is not known, so it goes on
                else:
                    self.insist(push)
                if self.draw.random() < 0.3:
                    self.attempt(self.draw.choice(self.sent).again())
                if self.draw.random() < 0.1:
                    self.attempt(self.draw.choice(self.sent).replayed())
        self.insist(self.newest())

    def newest(self):
        return max(self.sent, key=lambda push: push.sequence)

    def insist(self, push):
        for _ in range(1_000):
            if self.attempt(push):
                return
            threading.Event().wait(0.05)  # what a platform does between two attempts
        pytest.fail(f"{push.event_id} was never taken")

    def attempt(self, push):
        try:
            answer = self.platform.send(push)
            result = answer.json()
        except (OSError, http.client.HTTPException, msgspec.DecodeError):
            return False  # the worker died before its answer was out
        if answer.status == 200:
            self.application.note("ok", self.device_id, push.sequence, result["result"])
        return answer.status == 200


def broken_promises(lines):
    """What in the record breaks the promise.

    A worker that dies between its handler's end and its record of it has handled nothing, as far as anybody can know:
    what it did last for a device, and nobody was told 200 for, is as if it had not been.
    """
    finished = {}  # device -> highest sequence whose handler ended and whose 200 arrived
    ended = {}  # device -> highest sequence whose handler ended
    last = {}  # device -> (worker whose handler ended last, what `ended` was before)
    running = {}  # device -> (sequence, worker)
    dead = set()
    for line in lines:
        match line:
            case ["killed", pid]:
                dead.add(pid)
                for device, (worker, before) in last.items():
                    if worker == pid:
                        ended[device] = max(before, finished.get(device, 0))
            case ["begin", device, sequence, pid]:
                if int(sequence) <= finished.get(device, 0):
                    yield "again after success", line
                if int(sequence) < ended.get(device, 0):
                    yield "older after newer", line
                if device in running and running[device][1] not in dead:
                    yield "two at a time", line, running[device]
                running[device] = (sequence, pid)
            case ["end", device, sequence, pid]:
                running.pop(device, None)
                last[device] = (pid, ended.get(device, 0))
                ended[device] = max(ended.get(device, 0), int(sequence))
            case ["ok", device, sequence, _]:
                finished[device] = max(finished.get(device, 0), int(sequence))


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_no_handler_runs_twice_or_goes_back(interface, tmp_path):
    draw = random.Random(interface)
    enough = threading.Event()
    with contextlib.closing(Application(interface, tmp_path)) as application, ThreadPoolExecutor(DEVICES) as threads:
        senders = [Sender(application, f"device-{number}") for number in range(DEVICES)]
        sending = [threads.submit(sender.send_until_killed_enough, enough) for sender in senders]
        try:
            for _ in range(KILLS):
                threading.Event().wait(draw.uniform(0.05, 0.4))
                application.kill_one(draw)
        finally:
            enough.set()
        for one in sending:
            one.result(90)
    lines = application.lines()
    assert list(broken_promises(lines)) == []
    words = {(line[0], line[-1]) if line[0] == "ok" else line[0] for line in lines}
    assert words >= {"begin", "end", "killed", ("ok", "accepted"), ("ok", "duplicate"), ("ok", "superseded")}
    for sender in senders:
        newest = ["end", sender.device_id, str(sender.newest().sequence)]
        assert any(line[:3] == newest for line in lines)


@pytest.mark.parametrize(
    ("lines", "broken"),
    [
        (["begin d 1 7", "end d 1 7", "ok d 1 accepted", "begin d 1 8"], ["again after success"]),
        (["begin d 2 7", "end d 2 7", "begin d 1 8"], ["older after newer"]),
        (["begin d 1 7", "begin d 2 8"], ["two at a time"]),
        (["begin d 1 7", "killed 7", "begin d 1 8", "end d 1 8", "begin d 1 9"], []),
        (["begin d 2 7", "end d 2 7", "killed 7", "begin d 1 8"], []),
        (
            ["begin d 2 7", "end d 2 7", "ok d 2 accepted", "killed 7", "begin d 1 8"],
            ["again after success", "older after newer"],
        ),
        (["begin d 2 7", "end d 2 7", "begin d 3 7", "end d 3 7", "killed 7", "begin d 1 8"], ["older after newer"]),
        (["begin d 2 7", "end d 2 7", "begin d 3 8", "end d 3 8", "killed 7", "begin d 1 8"], ["older after newer"]),
    ],
)
def test_the_judge_sees_what_is_broken(lines, broken):
    found = [what for what, *_ in broken_promises([line.split() for line in lines])]
    assert found == broken
