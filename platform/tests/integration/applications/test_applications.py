"""Applications, their secrets and tokens."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from firmcast.applications import use_cases
from firmcast.applications.model import RefreshTokenError
from firmcast.errors import NotAllowedError, NotFoundError, StartError
from firmcast.ids import ApplicationId
from firmcast.sealing import Sealer

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIVES = (timedelta(hours=1), timedelta(days=30), timedelta(seconds=10))


@pytest.fixture
def sealer():
    return Sealer(hashlib.sha256(b"one").digest())


@pytest.fixture
async def credentials(database, sealer):
    return await database.write(use_cases.create, "meter readings", sealer, NOW)


async def test_ids_and_secrets_need_no_encoding(credentials):
    spelt = credentials.application_id + credentials.secret
    assert all(sign.isascii() and (sign.isalnum() or sign in "_-") for sign in spelt)


async def test_only_the_latest_access_token_outlives_the_grace(database, credentials):
    tokens = [
        (await database.write(use_cases.login, credentials.application_id, credentials.secret, NOW, *LIVES))
        for _ in range(3)
    ]
    later = NOW + timedelta(seconds=10)
    for issued in tokens[:2]:
        with pytest.raises(NotAllowedError):
            await database.read(use_cases.authenticate, credentials.application_id, issued.access_token, later)
    latest = tokens[2].access_token
    found = await database.read(use_cases.authenticate, credentials.application_id, latest, later)
    assert found.application_id == credentials.application_id


async def test_a_refresh_token_is_not_an_access_token(database, credentials):
    issued = await database.write(use_cases.login, credentials.application_id, credentials.secret, NOW, *LIVES)
    with pytest.raises(NotAllowedError):
        await database.read(use_cases.authenticate, credentials.application_id, issued.refresh_token, NOW)


async def test_a_refresh_token_is_good_for_its_application_until_it_ends(database, credentials, sealer):
    issued = await database.write(use_cases.login, credentials.application_id, credentials.secret, NOW, *LIVES)
    other = await database.write(use_cases.create, "other", sealer, NOW)
    with pytest.raises(RefreshTokenError):
        await database.write(use_cases.refresh, other.application_id, other.secret, issued.refresh_token, NOW, *LIVES)
    with pytest.raises(RefreshTokenError):
        await database.write(
            use_cases.refresh,
            credentials.application_id,
            credentials.secret,
            issued.refresh_token,
            NOW + timedelta(days=30),
            *LIVES,
        )


async def test_signing_secrets_open_with_their_key_only(database, credentials, sealer):
    asked = [credentials.application_id, ApplicationId("unknown")]
    found = await database.read(use_cases.signing_secrets, asked, sealer)
    assert {one: identity.secrets for one, identity in found.items()} == {
        credentials.application_id: (credentials.signing_secret,)
    }
    with pytest.raises(StartError):
        await database.read(use_cases.signing_secrets, asked, Sealer(hashlib.sha256(b"other").digest()))


async def test_unknown_applications_are_not_found(database):
    nobody = ApplicationId("unknown")
    for attempt in (
        database.read(use_cases.find, nobody),
        database.write(use_cases.rotate_secret, nobody),
        database.write(use_cases.set_callback_ca, nobody, ""),
    ):
        with pytest.raises(NotFoundError):
            await attempt
