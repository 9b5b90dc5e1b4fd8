"""Keys are looked up together, and a store that fails gives nobody the answer that he is unknown."""

import asyncio

from firmcast.errors import StartError, StoreError
from firmcast.gateway import device_keys
from firmcast.gateway.device_keys import DeviceKeys


class Store:
    """Holds sealed keys; the seal is a letter in front."""

    def __init__(self) -> None:
        self.keys = {"device-1": b"+one", "device-2": b"+two", "odd": b"?", "foreign": b"!"}
        self.reads: list[list[str]] = []
        self.fails = False

    async def read(self, _query, names):
        self.reads.append(list(names))
        found = {name: self.keys[name] for name in names if name in self.keys}
        await asyncio.sleep(0)
        if self.fails:
            raise StoreError("the disk is gone")
        return found


class Handshakes:
    """Notes what is told of each identity."""

    def __init__(self) -> None:
        self.found: dict[str, bytes | None] = {}
        self.unknown: list[str] = []

    def key_found(self, identity: str, key: bytes | None) -> None:
        self.found[identity] = key

    def key_unknown(self, identity: str) -> None:
        self.unknown.append(identity)


def open_key(sealed: bytes) -> bytes | None:
    if sealed == b"!":
        raise StartError("sealed with another key")
    return sealed[1:] if sealed != b"?" else None


async def looked_up(store: Store, *names: str) -> Handshakes:
    told = Handshakes()
    keys = DeviceKeys(store, open_key, told)
    for name in names:
        keys.look_up(name)
    while keys._reading is not None:
        await asyncio.sleep(0)
    await keys.stop()
    return told


async def test_those_of_one_turn_are_read_together() -> None:
    store = Store()
    told = await looked_up(store, "device-1", "nobody", "device-2", "device-1")
    assert told.found == {"device-1": b"one", "nobody": None, "device-2": b"two"}
    assert store.reads == [["device-1", "nobody", "device-2"]]


async def test_a_key_that_cannot_be_used_is_none() -> None:
    assert (await looked_up(Store(), "odd", "foreign")).found == {"odd": None, "foreign": None}


async def test_without_the_store_nothing_is_said() -> None:
    store = Store()
    store.fails = True
    told = await looked_up(store, "device-1")
    assert (told.found, told.unknown) == ({}, ["device-1"])


async def test_a_key_that_changes_while_it_is_read_is_read_again() -> None:
    store, told = Store(), Handshakes()
    keys = DeviceKeys(store, open_key, told)
    keys.look_up("device-1")
    keys.look_up("device-2")
    await asyncio.sleep(0)
    assert store.reads == [["device-1", "device-2"]]
    store.keys["device-1"] = b"+new"
    keys.changed(["device-1", "odd"])
    while keys._reading is not None:
        assert told.found.get("device-1") != b"one"
        await asyncio.sleep(0)
    assert told.found == {"device-1": b"new", "device-2": b"two"}
    assert store.reads == [["device-1", "device-2"], ["device-1"]]


async def test_keys_that_are_looked_at_again_are_read_until_the_store_can_be_read(monkeypatch) -> None:
    monkeypatch.setattr(device_keys, "_PAUSE", 0)
    store, told = Store(), Handshakes()
    store.fails = True
    keys = DeviceKeys(store, open_key, told)
    keys.look_up("device-1")
    keys.look_again(["device-2", "nobody"])
    while len(store.reads) < 4:
        await asyncio.sleep(0)
    store.fails = False
    while keys._reading is not None:
        await asyncio.sleep(0)
    assert told.unknown[0] == "device-1"
    assert set(told.unknown[1:3]) == {"device-2", "nobody"}
    assert told.unknown.count("device-1") == 1
    assert told.found == {"device-2": b"two", "nobody": None}


async def test_a_key_that_is_being_read_when_it_is_looked_at_again_is_not_believed() -> None:
    store, told = Store(), Handshakes()
    keys = DeviceKeys(store, open_key, told)
    keys.look_up("device-1")
    await asyncio.sleep(0)
    store.keys["device-1"] = b"+new"
    keys.look_again(["device-1"])
    while keys._reading is not None:
        assert told.found.get("device-1") != b"one"
        await asyncio.sleep(0)
    assert told.found == {"device-1": b"new"}
