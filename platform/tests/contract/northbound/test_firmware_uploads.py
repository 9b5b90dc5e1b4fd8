"""`/v1/firmware/uploads`: packages in pieces; and signatures of packages."""

import asyncio
import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from firmcast.audit import use_cases as audit
from firmcast.audit.model import AuditFilter
from firmcast.db.page import Page
from firmcast.firmware.uploads import remove_abandoned
from firmcast.settings import FirmwareSettings

CONTENT = bytes(range(256)) * 4
DIGEST = hashlib.sha256(CONTENT).hexdigest()
UPLOADS = "/v1/firmware/uploads"


def on_disk(world):
    return sorted(path.name for path in world.files.path_of("x").parent.parent.rglob("*") if path.is_file())


async def begin(world, caller, **said):
    body = {
        "application_id": caller.application_id, "name": "image.bin", "version": "2.0", "size": len(CONTENT), **said
    }  # fmt: skip
    return await world.manage("POST", UPLOADS, body)


async def begun(world, caller, **said):
    answer = await begin(world, caller, **said)
    assert answer.status_code == 201, answer.text
    return f"{UPLOADS}/{answer.json()['upload_id']}"


async def piece(world, path, offset, content, **headers):
    return await world.manage("PATCH", path, content, headers={"upload-offset": str(offset), **headers})


async def actions(world):
    entries, _ = await world.database.read(audit.listed, AuditFilter(), Page())
    return [entry.action for entry in reversed(entries)]


async def test_pieces_become_a_package(world, caller):
    created = await begin(world, caller, model="WM1", description="better", sha256=DIGEST.upper())
    said = created.json()
    assert (created.status_code, said["offset"], said["size"]) == (201, 0, 1024)
    path = created.headers["location"]
    assert path == f"{UPLOADS}/{said['upload_id']}"
    first = await piece(world, path, 0, CONTENT[:1000])
    assert (first.status_code, first.headers["upload-offset"], first.content) == (204, "1000", b"")
    asked = await world.manage("HEAD", path)
    assert (asked.headers["upload-offset"], asked.headers["upload-length"]) == ("1000", "1024")
    assert asked.headers["cache-control"] == "no-store"
    assert (await world.manage("GET", UPLOADS)).json()["uploads"] == [(await world.manage("GET", path)).json()]
    last = await piece(world, path, 1000, CONTENT[1000:])
    package = last.json()
    assert (last.status_code, package["sha256"], package["size"], package["model"]) == (201, DIGEST, 1024, "WM1")
    assert world.files.path_of(DIGEST).read_bytes() == CONTENT
    assert on_disk(world) == [DIGEST]
    assert (await world.manage("GET", f"/v1/firmware/{package['package_id']}")).json() == package
    assert (await world.manage("GET", path)).json()["package_id"] == package["package_id"]
    assert (await world.manage("GET", UPLOADS)).json() == {"uploads": []}
    assert await actions(world) == ["firmware.begin_upload", "firmware.upload"]


async def test_who_did_not_hear_the_last_answer_gets_the_same_package(world, caller):
    path = await begun(world, caller)
    package = (await piece(world, path, 0, CONTENT)).json()
    for _ in range(2):
        answer = await world.manage("POST", f"{path}/complete")
        assert (answer.status_code, answer.json()) == (200, package)
    again = await piece(world, path, 0, CONTENT)
    assert (again.status_code, again.headers["upload-offset"]) == (409, "1024")
    assert (await world.manage("GET", "/v1/firmware")).json()["total"] == 1
    await world.manage("DELETE", f"/v1/firmware/{package['package_id']}")
    assert (await world.manage("POST", f"{path}/complete")).status_code == 404


@pytest.mark.parametrize("offset", [0, 9, 11, 1024, 1 << 59])
async def test_a_piece_elsewhere_is_told_the_right_offset(world, caller, offset):
    path = await begun(world, caller)
    await piece(world, path, 0, CONTENT[:10])
    answer = await piece(world, path, offset, CONTENT[offset:])
    assert (answer.status_code, answer.json()["error_code"], answer.headers["upload-offset"]) == (409, "conflict", "10")
    assert (await piece(world, path, 10, CONTENT[10:])).json()["sha256"] == DIGEST


@pytest.mark.parametrize("said", ["", "x", "-1", "1.0", "١", "9" * 30])
async def test_a_piece_says_where_it_begins(world, caller, said):
    path = await begun(world, caller)
    headers = {"upload-offset": said} if said.isascii() else {}
    answer = await world.manage("PATCH", path, CONTENT, headers=headers)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "invalid_value")


async def test_more_than_was_announced_is_refused_and_what_was_stays(world, caller):
    path = await begun(world, caller)
    answer = await piece(world, path, 0, CONTENT + b"more")
    assert (answer.status_code, answer.json()["error_code"]) == (400, "invalid_value")
    assert (await world.manage("GET", path)).json()["offset"] == 1024
    assert (await world.manage("POST", f"{path}/complete")).json()["sha256"] == DIGEST


async def test_bytes_that_are_missing_make_no_package(world, caller):
    path = await begun(world, caller)
    await piece(world, path, 0, CONTENT[:1])
    answer = await world.manage("POST", f"{path}/complete")
    assert (answer.status_code, answer.headers["upload-offset"]) == (409, "1")


async def test_what_came_of_a_broken_piece_is_kept(world, caller):
    path = await begun(world, caller)

    async def breaking():
        yield CONTENT[:700]
        raise ConnectionError("cut")

    with pytest.raises(ConnectionError):
        await piece(world, path, 0, breaking())
    assert (await world.manage("GET", path)).json()["offset"] == 700
    assert (await piece(world, path, 700, CONTENT[700:])).json()["sha256"] == DIGEST


async def test_the_later_of_two_senders_goes_on(world, caller):
    path = await begun(world, caller)
    came, never = asyncio.Event(), asyncio.Event()

    async def stalling():
        yield CONTENT[:100]
        came.set()
        await never.wait()
        yield b"never"

    former = asyncio.create_task(piece(world, path, 0, stalling()))
    await came.wait()
    # The hundred bytes came before the second sender did, so they count.
    late = await piece(world, path, 0, CONTENT)
    assert (late.status_code, late.headers["upload-offset"]) == (409, "100")
    stopped = await former
    assert (stopped.status_code, stopped.headers["upload-offset"]) == (409, "100")
    assert (await piece(world, path, 100, CONTENT[100:])).json()["sha256"] == DIGEST


async def test_many_senders_at_once_leave_whole_bytes(world, caller):
    path = await begun(world, caller)

    async def send(turns):
        offset = 0
        for _ in range(200):
            answer = await piece(world, path, offset, CONTENT[offset : offset + turns])
            if answer.status_code == 201 or int(answer.headers["upload-offset"]) == len(CONTENT):
                return
            offset = int(answer.headers["upload-offset"])

    await asyncio.gather(*(send(size) for size in (100, 333, 700)))
    package = (await world.manage("POST", f"{path}/complete")).json()
    assert package["sha256"] == DIGEST
    assert (await world.manage("GET", "/v1/firmware")).json()["total"] == 1


async def test_other_bytes_than_promised_leave_nothing(world, caller):
    path = await begun(world, caller, sha256="0" * 64)
    answer = await piece(world, path, 0, CONTENT)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "invalid_value")
    assert DIGEST in answer.json()["error_desc"]
    assert on_disk(world) == []
    assert (await world.manage("GET", path)).status_code == 404


async def test_an_upload_can_be_ended(world, caller):
    path = await begun(world, caller)
    await piece(world, path, 0, CONTENT[:10])
    assert (await world.manage("DELETE", path)).status_code == 204
    assert on_disk(world) == []
    for method in ("GET", "DELETE", "PATCH"):
        assert (await world.manage(method, path, headers={"upload-offset": "0"})).status_code == 404
    assert (await world.manage("POST", f"{path}/complete")).status_code == 404
    assert await actions(world) == ["firmware.begin_upload", "firmware.end_upload"]


async def test_abandoned_uploads_are_removed(world, caller):
    life = FirmwareSettings().upload_life
    old = await begun(world, caller)
    await piece(world, old, 0, CONTENT[:10])
    done = await begun(world, caller)
    await piece(world, done, 0, CONTENT)
    world.clock.pass_time(hours=23)
    young = await begun(world, caller)
    await piece(world, young, 0, CONTENT[:10])
    assert await remove_abandoned(world.database, world.files, world.clock.now(), life) == 0
    world.clock.pass_time(hours=1, seconds=1)
    assert await remove_abandoned(world.database, world.files, world.clock.now(), life) == 2
    assert [(await world.manage("GET", path)).status_code for path in (old, done, young)] == [404, 404, 200]
    assert on_disk(world) == sorted([DIGEST, young.rpartition("/")[2]])


async def test_open_uploads_are_bounded(world, caller):
    for _ in range(FirmwareSettings().upload_limit):
        path = await begun(world, caller, size=4096)
    answer = await begin(world, caller)
    assert (answer.status_code, answer.json()["error_code"]) == (409, "conflict")
    await world.manage("DELETE", path)
    assert (await begin(world, caller)).status_code == 201


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        ({"size": 0}, 400, "invalid_value"),
        ({"size": 4097}, 400, "invalid_value"),
        ({"size": -1}, 400, "invalid_value"),
        ({"size": "many"}, 400, "invalid_request"),
        ({"size": None}, 400, "invalid_request"),
        ({"version": ""}, 400, "invalid_request"),
        ({"model": "a\nb"}, 400, "invalid_value"),
        ({"sha256": "0" * 63}, 400, "invalid_value"),
        ({"sha256": "g" * 64}, 400, "invalid_value"),
        ({"signature": "AAAA"}, 400, "invalid_value"),
        ({"application_id": "unknown"}, 404, "not_found"),
    ],
)
async def test_what_could_never_be_a_package_is_refused_before_its_bytes(world, caller, said, status, code):
    answer = await begin(world, caller, **said)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code), answer.text
    assert (await world.manage("GET", UPLOADS)).json() == {"uploads": []}


async def test_a_file_that_lost_its_end_is_gone_on_with_where_it_ends(world, caller):
    path = await begun(world, caller)
    await piece(world, path, 0, CONTENT[:500])
    file = world.files.partial.path_of(path.rpartition("/")[2])
    file.write_bytes(CONTENT[:300])
    answer = await piece(world, path, 500, CONTENT[500:])
    assert (answer.status_code, answer.headers["upload-offset"]) == (409, "300")
    file.write_bytes(CONTENT[:300] + b"never counted")
    assert (await piece(world, path, 300, CONTENT[300:])).json()["sha256"] == DIGEST


async def test_an_application_that_goes_takes_its_uploads_with_it(world, caller):
    path = await begun(world, caller)
    await piece(world, path, 0, CONTENT[:10])
    package = await world.upload(caller, b"whole")
    other = await world.login("somebody else")
    kept = await world.upload(other, b"whole")
    answer = await world.manage("DELETE", f"/v1/applications/{caller.application_id}")
    assert answer.status_code == 204, answer.text
    assert (await world.manage("GET", path)).status_code == 404
    assert (await world.manage("GET", f"/v1/firmware/{package['package_id']}")).status_code == 404
    assert on_disk(world) == [kept["sha256"]]


async def test_an_administrator_deletes_a_package_that_no_open_task_needs(world, caller):
    package = await world.upload(caller)
    path = f"/v1/firmware/{package['package_id']}"
    body = {"fileId": package["package_id"], "targets": {"devices": [await world.register(caller)]}}
    assert (await caller.call("POST", "/iodm/northbound/v1.5.0/operations/firmwareUpgrade", body)).status_code == 200
    answer = await world.manage("DELETE", path)
    assert (answer.status_code, answer.json()["error_code"]) == (409, "conflict")
    await world.pass_time(seconds=0)
    await world.pass_time(days=2)
    assert (await world.manage("DELETE", path)).status_code == 204
    assert on_disk(world) == []
    assert (await world.manage("DELETE", path)).status_code == 404
    assert "firmware.delete" in await actions(world)


def _pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


async def set_key(world, caller, key):
    path = f"/v1/applications/{caller.application_id}/verification-key"
    answer = await world.manage("PUT", path, {"verification_key": _pem(key)})
    assert answer.status_code == 200, answer.text


async def test_an_application_with_a_key_takes_signed_packages_only(world, caller):
    key = ec.generate_private_key(ec.SECP256K1())
    await set_key(world, caller, key)
    signature = base64.b64encode(key.sign(CONTENT, ec.ECDSA(SHA256()))).decode()
    query = f"application_id={caller.application_id}&name=a&version=1".encode()
    for refused in (b"", b"&signature=AAAA", b"&signature=%21"):
        answer = await world.manage("POST", "/v1/firmware", CONTENT, query=query + refused)
        assert (answer.status_code, answer.json()["error_code"]) == (400, "invalid_value")
        assert "signature" in answer.json()["error_desc"]
    assert on_disk(world) == []
    said = await world.upload(caller, CONTENT, signature=signature)
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert (said["signed_by"], said["signature"]) == (hashlib.sha256(der).hexdigest(), signature)
    # Bytes that a package is made of stay when a wrong signature of them is refused.
    answer = await world.manage("POST", "/v1/firmware", CONTENT, query=query + b"&signature=AAAA")
    assert answer.status_code == 400
    assert on_disk(world) == [DIGEST]


async def test_a_signature_is_checked_when_the_last_piece_came(world, caller):
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    signature = base64.b64encode(key.sign(bytes.fromhex(DIGEST))).decode()
    answer = await begin(world, caller, signature=signature)
    assert answer.status_code == 400
    await set_key(world, caller, key)
    assert (await begin(world, caller)).status_code == 400
    path = await begun(world, caller, signature=signature)
    assert (await piece(world, path, 0, CONTENT)).json()["signed_by"]
    late = await begun(world, caller, signature=signature)
    await set_key(world, caller, other)
    answer = await piece(world, late, 0, CONTENT)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "invalid_value")
    assert (await world.manage("GET", late)).status_code == 404
    assert on_disk(world) == [DIGEST]
