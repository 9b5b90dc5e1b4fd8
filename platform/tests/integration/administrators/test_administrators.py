"""Tokens of administrators in the store."""

from datetime import UTC, datetime, timedelta

import pytest

from firmcast.administrators import use_cases
from firmcast.administrators.api import token_holder
from firmcast.clock import SystemClock
from firmcast.errors import ConflictError, InvalidValueError, NotAllowedError, NotFoundError, StoreFullError
from firmcast.ids import AdministratorTokenId
from firmcast.rest.authentication import OPERATOR, Administrator, Scope

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def make(database, name="night shift", scopes=(Scope.AUDIT_READ,), maker=OPERATOR, expires_at=None):
    return await database.write(use_cases.create, name=name, scopes=scopes, expires_at=expires_at, maker=maker, now=NOW)


async def test_a_token_is_found_by_itself_until_it_ends(database):
    made, token = await make(database, expires_at=NOW + timedelta(hours=1))
    assert token.startswith("fca_")
    assert await database.read(use_cases.holder, token, NOW) == made
    assert await database.read(use_cases.holder, token, NOW + timedelta(hours=1)) is None
    for text in ("", token[:-1], token + "x", "x" * 1000, "\ud800"):
        assert await database.read(use_cases.holder, text, NOW) is None


async def test_its_last_use_is_written_when_the_one_before_lies_a_minute_back(database):
    made, token = await make(database)
    assert use_cases.use_is_to_be_noted(made, NOW)
    await database.write(use_cases.note_use, made.token_id, NOW)
    used = await database.read(use_cases.holder, token, NOW)
    assert used.last_used_at == NOW
    assert not use_cases.use_is_to_be_noted(used, NOW + timedelta(seconds=59))
    assert use_cases.use_is_to_be_noted(used, NOW + timedelta(seconds=60))


async def test_a_revoked_token_is_nobodys(database):
    made, token = await make(database)
    assert await database.write(use_cases.delete, made.token_id) == made
    assert await database.read(use_cases.holder, token, NOW) is None
    await database.write(use_cases.note_use, made.token_id, NOW)
    assert await database.read(use_cases.listed) == []
    with pytest.raises(NotFoundError):
        await database.write(use_cases.delete, made.token_id)
    with pytest.raises(ConflictError):
        await database.write(use_cases.delete, AdministratorTokenId("operator"))


async def test_scopes_come_back_as_they_went_in(database):
    for number, scope in enumerate(Scope):
        made, token = await make(database, f"token {number}", [scope])
        assert (await database.read(use_cases.holder, token, NOW)).scopes == {scope} == made.scopes
    everything, token = await make(database, "all", list(Scope))
    assert (await database.read(use_cases.holder, token, NOW)).scopes == frozenset(Scope) == everything.scopes


async def test_a_name_is_free_again_when_its_token_is_gone(database):
    made, _ = await make(database)
    with pytest.raises(ConflictError):
        await make(database)
    await database.write(use_cases.delete, made.token_id)
    assert (await make(database))[0].token_id != made.token_id


async def test_nobody_hands_out_more_than_he_has(database):
    maker = Administrator(
        token_id="m", name="maker", scopes=frozenset({Scope.PUSH_READ}), expires_at=NOW + timedelta(hours=1)
    )
    ends = NOW + timedelta(hours=1)
    with pytest.raises(NotAllowedError, match="push:write"):
        await make(database, scopes=[Scope.PUSH_READ, Scope.PUSH_WRITE], maker=maker, expires_at=ends)
    for expires_at in (None, ends + timedelta(microseconds=1)):
        with pytest.raises(NotAllowedError, match="ends at"):
            await make(database, scopes=[Scope.PUSH_READ], maker=maker, expires_at=expires_at)
    made, _ = await make(database, scopes=[Scope.PUSH_READ], maker=maker, expires_at=ends)
    assert made.created_by == "maker"


@pytest.mark.parametrize(
    "name", ["", " ", " padded", "padded ", "operator", "Operator", "OPERATOR", "a" * 65, "a\tb", "a\0b"]
)
async def test_a_token_needs_a_name(database, name):
    with pytest.raises(InvalidValueError):
        await make(database, name)


class FullDatabase:
    """A store on a full disk: what is there can be read."""

    def __init__(self, database):
        self.read = database.read

    async def write(self, *_asked):
        raise StoreFullError("no space is left")


async def test_a_token_is_good_on_a_full_disk_too(database):
    made, token = await make(database)
    found = await token_holder(FullDatabase(database), SystemClock())(token)
    assert found.token_id == made.token_id
    assert (await database.read(use_cases.find, made.token_id)).last_used_at is None
