"""Applications, their secrets and tokens."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmcast.applications import logins, use_cases
from firmcast.applications.model import FrozenError, RefreshTokenError
from firmcast.db.statement import portable
from firmcast.errors import ConflictError, InvalidValueError, NotAllowedError, NotFoundError, StartError
from firmcast.ids import ApplicationId
from firmcast.sealing import Sealer

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OVERLAP = timedelta(hours=24)
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
        (await database.write(logins.login, credentials.application_id, credentials.secret, NOW, *LIVES))
        for _ in range(3)
    ]
    later = NOW + timedelta(seconds=10)
    for issued in tokens[:2]:
        with pytest.raises(NotAllowedError):
            await database.read(logins.authenticate, credentials.application_id, issued.access_token, later)
    latest = tokens[2].access_token
    found = await database.read(logins.authenticate, credentials.application_id, latest, later)
    assert found.application_id == credentials.application_id


async def test_a_refresh_token_is_not_an_access_token(database, credentials):
    issued = await database.write(logins.login, credentials.application_id, credentials.secret, NOW, *LIVES)
    with pytest.raises(NotAllowedError):
        await database.read(logins.authenticate, credentials.application_id, issued.refresh_token, NOW)


async def test_a_refresh_token_is_good_for_its_application_until_it_ends(database, credentials, sealer):
    issued = await database.write(logins.login, credentials.application_id, credentials.secret, NOW, *LIVES)
    other = await database.write(use_cases.create, "other", sealer, NOW)
    with pytest.raises(RefreshTokenError):
        await database.write(logins.refresh, other.application_id, other.secret, issued.refresh_token, NOW, *LIVES)
    with pytest.raises(RefreshTokenError):
        await database.write(
            logins.refresh,
            credentials.application_id,
            credentials.secret,
            issued.refresh_token,
            NOW + timedelta(days=30),
            *LIVES,
        )


async def test_signing_secrets_open_with_their_key_only(database, credentials, sealer):
    asked = [credentials.application_id, ApplicationId("unknown")]
    found = await database.read(use_cases.signing_secrets, asked, sealer)
    assert {one: [known.secret for known in identity.secrets] for one, identity in found.items()} == {
        credentials.application_id: [credentials.signing_secret]
    }
    with pytest.raises(StartError):
        await database.read(use_cases.signing_secrets, asked, Sealer(hashlib.sha256(b"other").digest()))


async def test_unknown_applications_are_not_found(database, sealer):
    nobody = ApplicationId("unknown")
    for attempt in (
        database.read(use_cases.find, nobody),
        database.write(logins.rotate_secret, nobody, NOW, OVERLAP),
        database.write(use_cases.rotate_signing_secret, nobody, sealer, NOW, OVERLAP),
        database.write(use_cases.rotate_signing_key, nobody, sealer, NOW, OVERLAP),
        database.write(use_cases.remove_signing_key, nobody),
        database.write(use_cases.set_callback_headers, nobody, {"x-tenant": "meters"}, sealer),
        database.write(use_cases.remove_callback_headers, nobody),
        database.write(use_cases.set_callback_ca, nobody, ""),
        database.write(use_cases.set_verification_key, nobody, ""),
        database.write(use_cases.remove_client_certificate, nobody),
        database.write(use_cases.rename, nobody, "new"),
        database.write(use_cases.freeze, nobody),
        database.write(use_cases.unfreeze, nobody),
        database.write(use_cases.begin_deletion, nobody),
        database.read(use_cases.verification_key, nobody),
    ):
        with pytest.raises(NotFoundError):
            await attempt


async def login(database, credentials, now, secret=None):
    secret = secret or credentials.secret
    return await database.write(logins.login, credentials.application_id, secret, now, *LIVES)


async def is_known(database, credentials, token, now):
    try:
        await database.read(logins.authenticate, credentials.application_id, token, now)
    except NotAllowedError:
        return False
    return True


async def test_both_secrets_log_in_until_the_overlap_ends(database, credentials):
    secret, ends_at = await database.write(logins.rotate_secret, credentials.application_id, NOW, OVERLAP)
    assert ends_at == NOW + OVERLAP
    just_before, after = ends_at - timedelta(microseconds=1), ends_at
    for now in (NOW, just_before):
        await login(database, credentials, now)
        await login(database, credentials, now, secret)
    with pytest.raises(NotAllowedError):
        await login(database, credentials, after)
    await login(database, credentials, after, secret)


async def test_what_the_former_secret_gave_ends_with_it(database, credentials):
    before = await login(database, credentials, NOW)
    secret, ends_at = await database.write(logins.rotate_secret, credentials.application_id, NOW, timedelta(minutes=10))
    assert await is_known(database, credentials, before.access_token, ends_at - timedelta(seconds=1))
    assert not await is_known(database, credentials, before.access_token, ends_at)
    late = await login(database, credentials, ends_at - timedelta(minutes=4))
    assert late.expires_in == 240
    assert not await is_known(database, credentials, late.access_token, ends_at)
    fresh = await login(database, credentials, ends_at, secret)
    assert fresh.expires_in == 3600
    with pytest.raises(RefreshTokenError):
        await database.write(logins.refresh, credentials.application_id, secret, late.refresh_token, ends_at, *LIVES)


async def test_without_an_overlap_everything_ends_at_once(database, credentials):
    issued = await login(database, credentials, NOW)
    secret, ends_at = await database.write(logins.rotate_secret, credentials.application_id, NOW, timedelta(0))
    assert ends_at is None
    assert not await is_known(database, credentials, issued.access_token, NOW)
    with pytest.raises(NotAllowedError):
        await login(database, credentials, NOW)
    await login(database, credentials, NOW, secret)


async def test_the_secret_before_the_former_one_ends_at_once(database, credentials):
    second, _ = await database.write(logins.rotate_secret, credentials.application_id, NOW, OVERLAP)
    third, _ = await database.write(logins.rotate_secret, credentials.application_id, NOW, OVERLAP)
    with pytest.raises(NotAllowedError):
        await login(database, credentials, NOW)
    for secret in (second, third):
        await login(database, credentials, NOW, secret)


async def test_what_the_eldest_secret_gave_ends_with_the_second_rotation(database, credentials):
    before = await login(database, credentials, NOW)
    second, _ = await database.write(logins.rotate_secret, credentials.application_id, NOW, OVERLAP)
    within = await login(database, credentials, NOW)
    await database.write(logins.rotate_secret, credentials.application_id, NOW, OVERLAP)
    for tokens in (before, within):
        assert not await is_known(database, credentials, tokens.access_token, NOW)
        with pytest.raises(RefreshTokenError):
            await database.write(logins.refresh, credentials.application_id, second, tokens.refresh_token, NOW, *LIVES)
    again = await login(database, credentials, NOW, second)
    assert await is_known(database, credentials, again.access_token, NOW)


async def test_a_frozen_application_is_told_so_and_its_tokens_never_come_back(database, credentials):
    issued = await login(database, credentials, NOW)
    assert await database.write(use_cases.freeze, credentials.application_id)
    assert not await database.write(use_cases.freeze, credentials.application_id)
    with pytest.raises(FrozenError):
        await database.read(logins.authenticate, credentials.application_id, issued.access_token, NOW)
    with pytest.raises(FrozenError):
        await login(database, credentials, NOW)
    with pytest.raises(NotAllowedError) as refused:
        await login(database, credentials, NOW, "guessed")
    assert not isinstance(refused.value, FrozenError), "who has no secret is not told"
    assert await database.write(use_cases.unfreeze, credentials.application_id)
    assert not await database.write(use_cases.unfreeze, credentials.application_id)
    assert not await is_known(database, credentials, issued.access_token, NOW)
    await login(database, credentials, NOW)


async def test_both_signing_secrets_are_told_with_their_ends(database, credentials, sealer):
    one = credentials.application_id
    secret, ends_at = await database.write(use_cases.rotate_signing_secret, one, sealer, NOW, OVERLAP)
    identity = (await database.read(use_cases.signing_secrets, [one], sealer))[one]
    assert [(known.secret, known.ends_at) for known in identity.secrets] == [
        (secret, None),
        (credentials.signing_secret, ends_at),
    ]
    last, nothing = await database.write(use_cases.rotate_signing_secret, one, sealer, NOW, timedelta(0))
    identity = (await database.read(use_cases.signing_secrets, [one], sealer))[one]
    assert (nothing, [known.secret for known in identity.secrets]) == (None, [last])


async def test_a_signing_key_is_sealed_and_both_are_told_while_they_overlap(database, credentials, sealer):
    one = credentials.application_id

    async def keys():
        identity = (await database.read(use_cases.signing_secrets, [one], sealer))[one]
        return [(known.seed, known.ends_at) for known in identity.keys]

    def public(seed):
        raw = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        return f"whpk_{base64.b64encode(raw).decode()}"

    assert await keys() == []
    first, nothing = await database.write(use_cases.rotate_signing_key, one, sealer, NOW, OVERLAP)
    ((seed, _),) = await keys()
    assert (public(seed), nothing) == (first, None)
    second, ends_at = await database.write(use_cases.rotate_signing_key, one, sealer, NOW, OVERLAP)
    assert [(public(each), ends) for each, ends in await keys()] == [(second, None), (first, ends_at)]
    assert ends_at == NOW + OVERLAP

    async def rows(tx):
        return await tx.fetch(portable("SELECT * FROM application"))

    kept = [value for value in (await database.read(rows))[0] if isinstance(value, bytes)]
    assert len(kept) >= 4
    assert not any(each in value for each, _ in await keys() for value in kept)
    with pytest.raises(StartError):
        await database.read(use_cases.signing_secrets, [one], Sealer(hashlib.sha256(b"other").digest()))
    third, ended = await database.write(use_cases.rotate_signing_key, one, sealer, NOW, timedelta(0))
    assert ([public(each) for each, _ in await keys()], ended) == ([third], None)
    assert (await database.write(use_cases.remove_signing_key, one)).signing_public_key == ""
    assert await keys() == []


async def test_no_secret_is_in_the_store_in_clear(database, credentials, sealer):
    one = credentials.application_id
    shown = [credentials.secret, credentials.signing_secret]
    shown.append((await database.write(logins.rotate_secret, one, NOW, OVERLAP))[0])
    shown.append((await database.write(use_cases.rotate_signing_secret, one, sealer, NOW, OVERLAP))[0])

    async def rows(tx):
        return await tx.fetch(portable("SELECT * FROM application"))

    kept = b"".join(
        value if isinstance(value, bytes) else str(value).encode() for value in (await database.read(rows))[0]
    )
    assert all(secret.encode() not in kept for secret in shown)


async def test_a_deletion_that_has_begun_is_not_undone(database, credentials):
    one = credentials.application_id
    assert await database.write(use_cases.begin_deletion, one)
    assert not await database.write(use_cases.begin_deletion, one)
    with pytest.raises(ConflictError):
        await database.write(use_cases.unfreeze, one)
    with pytest.raises(FrozenError):
        await login(database, credentials, NOW)
    await database.write(use_cases.complete_deletion, one)
    with pytest.raises(NotFoundError):
        await database.read(use_cases.find, one)


@pytest.mark.parametrize("name", ["", " ", "a" * 257, "two\nlines", "\x1b[2Jgone", "a\u202eb"])
async def test_an_application_has_a_name_that_can_be_shown(database, sealer, credentials, name):
    with pytest.raises(InvalidValueError):
        await database.write(use_cases.create, name, sealer, NOW)
    with pytest.raises(InvalidValueError):
        await database.write(use_cases.rename, credentials.application_id, name)
