"""Version packages, section 5 of the contract page, and their upload."""

import hashlib

import pytest

CATEGORY = "/iodm/northbound/v1.5.0/category"
WHOLE = {
    "name": "wm1-1.6.bin",
    "version": "1.6",
    "device_type": "WaterMeter",
    "model": "WM1",
    "manufacturer_name": "Acme",
}


def on_disk(world):
    return sorted(path.name for path in world.files.path_of("x").parent.parent.rglob("*") if path.is_file())


async def test_an_upload_is_named_by_its_digest(world, caller):
    said = await world.upload(caller, b"firmware" * 400, **WHOLE, description="better")
    digest = hashlib.sha256(b"firmware" * 400).hexdigest()
    assert (said["sha256"], said["size"], said["protocol_type"]) == (digest, 3200, "LWM2M")
    assert world.files.path_of(digest).read_bytes() == b"firmware" * 400
    assert (await world.manage("GET", f"/v1/firmware/{said['package_id']}")).json() == said
    found = (await world.manage("GET", "/v1/firmware", query=f"application_id={caller.application_id}".encode())).json()
    assert found == {"packages": [said], "page": 0, "page_size": 100, "total": 1}


async def test_a_package_is_told_as_the_contract_says(world, caller, golden):
    said = await world.upload(caller, **WHOLE)
    expected = (
        golden("package.json")
        .replace(b"c8f9", said["package_id"].encode())
        .replace(b"2017-11-11", b"2026-01-01")
        .replace(b"20151212T121212Z", b"20260101T000000Z")
    )
    one = await caller.call("GET", f"{CATEGORY}/{said['package_id']}")
    assert (one.status_code, one.content) == (200, expected)
    page = await caller.call("GET", CATEGORY)
    assert (page.status_code, page.content) == (
        200,
        b'{"data":[' + expected + b'],"pageNo":0,"pageSize":10,"totalCount":1}',
    )


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"", ["1.7", "1.6"]),
        (b"fileType=firmwarePackage", ["1.7", "1.6"]),
        (b"fileType=softwarePackage", []),
        (b"version=1.6", ["1.6"]),
        (b"model=WM2", ["1.7"]),
        (b"manufacturerName=Acme", ["1.6"]),
        (b"manufactureName=Acme", ["1.6"]),
        (b"deviceType=Fridge", []),
        (b"pageNo=0&pageSize=1", ["1.7"]),
        (b"pageNo=1&pageSize=1", ["1.6"]),
        (b"?&pageNo=&pageSize=&model=", ["1.7", "1.6"]),
    ],
)
async def test_packages_are_filtered_and_paged(world, caller, query, expected):
    await world.upload(caller, **WHOLE)
    world.clock.pass_time(seconds=1)
    await world.upload(caller, **{**WHOLE, "version": "1.7", "model": "WM2", "manufacturer_name": "Other"})
    await world.upload(await world.login("somebody else"), **WHOLE)
    found = (await caller.call("GET", CATEGORY, query=query)).json()
    assert [package["version"] for package in found["data"]] == expected
    assert isinstance(found["totalCount"], int)


@pytest.mark.parametrize("query", [b"pageNo=-1", b"pageSize=0", b"pageSize=101", b"pageNo=9223372036854775807"])
async def test_pages_out_of_range_are_refused(world, caller, refused, query):
    answer = await caller.call("GET", CATEGORY, query=query)
    refused(answer, 400, "123029", "pageNo or pageSize beyond the limit.")


@pytest.mark.parametrize("query", [b"pageNo=x", b"fileType=picture", b"version=" + b"1" * 257, b"model=%00"])
async def test_filters_that_cannot_be_are_refused(world, caller, refused, query):
    refused(await caller.call("GET", CATEGORY, query=query), 400, "120015", "Bad request error.")


async def test_deleting_answers_200_without_a_body(world, caller, refused):
    said = await world.upload(caller)
    path = f"{CATEGORY}/{said['package_id']}"
    answer = await caller.call("DELETE", path)
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"", "application/json")
    assert on_disk(world) == []
    refused(await caller.call("DELETE", path), 404, "123002", "Device or package file not found.")
    refused(await caller.call("GET", path), 404, "123002", "Device or package file not found.")


async def test_bytes_stay_while_another_package_is_made_of_them(world, caller):
    first = await world.upload(caller)
    second = await world.upload(caller)
    assert on_disk(world) == [first["sha256"]]
    await caller.call("DELETE", f"{CATEGORY}/{first['package_id']}")
    assert on_disk(world) == [first["sha256"]]
    await caller.call("DELETE", f"{CATEGORY}/{second['package_id']}")
    assert on_disk(world) == []


async def test_a_package_that_an_open_task_needs_is_not_deleted(world, caller, refused):
    said = await world.upload(caller)
    path = f"{CATEGORY}/{said['package_id']}"
    body = {"fileId": said["package_id"], "targets": {"devices": [await world.register(caller)]}}
    assert (await caller.call("POST", "/iodm/northbound/v1.5.0/operations/firmwareUpgrade", body)).status_code == 200
    refused(await caller.call("DELETE", path), 400, "120015", "Bad request error.")
    assert (await caller.call("GET", path)).status_code == 200
    await world.pass_time(seconds=0)
    await world.pass_time(days=2)
    caller = await world.login_as(caller.credentials)
    assert (await caller.call("DELETE", path)).status_code == 200


async def test_a_package_of_another_application_does_not_exist(world, caller, refused):
    theirs = await world.upload(await world.login("somebody else"))
    for method in ("GET", "DELETE"):
        answer = await caller.call(method, f"{CATEGORY}/{theirs['package_id']}")
        refused(answer, 404, "123002", "Device or package file not found.")


@pytest.mark.parametrize(
    ("query", "content", "status", "code"),
    [
        ("name=a&version=1", b"x", 400, "invalid_request"),
        ("application_id={}&version=1", b"x", 400, "invalid_request"),
        ("application_id={}&name=a", b"x", 400, "invalid_request"),
        ("application_id={}&name=a&version=1&model=a%0Ab", b"x", 400, "invalid_value"),
        ("application_id={}&name=a&version=1&model=a%00b", b"x", 400, "invalid_request"),
        ("application_id=unknown&name=a&version=1", b"x", 404, "not_found"),
        ("application_id={}&name=a&version=1", b"", 400, "invalid_value"),
        ("application_id={}&name=a&version=1", b"x" * 4097, 413, "too_large"),
        ("application_id={}&name=a&version=1&sha256=00", b"x", 400, "invalid_value"),
    ],
)
async def test_a_refused_upload_leaves_nothing(world, caller, query, content, status, code):
    given = query.format(caller.application_id).encode()
    answer = await world.manage("POST", "/v1/firmware", content, query=given)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)
    assert on_disk(world) == []
    assert (await caller.call("GET", CATEGORY)).json()["totalCount"] == 0


async def test_an_upload_without_a_length_is_cut_off_at_the_limit(world, caller):
    sent = 0

    async def endless():
        nonlocal sent
        while True:
            sent += 1024
            yield b"x" * 1024

    query = f"application_id={caller.application_id}&name=a&version=1".encode()
    answer = await world.manage("POST", "/v1/firmware", endless(), query=query)
    assert (answer.status_code, answer.json()["error_code"]) == (413, "too_large")
    assert sent <= 8192
    assert on_disk(world) == []


async def test_a_form_is_not_taken_for_a_package(world, caller):
    query = f"application_id={caller.application_id}&name=a&version=1".encode()
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = await world.manage("POST", "/v1/firmware", b"--x--", query=query, headers=headers)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "invalid_value")


async def test_a_digest_that_fits_is_accepted(world, caller):
    digest = hashlib.sha256(b"firmware").hexdigest()
    said = await world.upload(caller, b"firmware", sha256=digest.upper())
    assert said["sha256"] == digest
