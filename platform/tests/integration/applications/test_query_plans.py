"""What every call, every batch of events and every change of a subscription asks finds its rows by an index.

Among many rows on both stores; what is asked seldom, or of few, says so here.
"""

import pytest

from firmcast.applications import store as applications
from firmcast.db.statement import Statement, differing, portable
from firmcast.push.store import standings
from firmcast.subscriptions import store as subscriptions

NAMED = {"applications": applications, "standings": standings, "subscriptions": subscriptions}
OF_ONE = ("a7", "s7")
SEVERAL = ["s7", "s8"]

HOT = {
    "applications._BY_TOKEN": (b"t7", "a7", "access", 0),
    "applications._FIND": ("a7",),
    "applications._SECRET_HASHES": ("a7",),
    "applications.SEALED_AFTER": ("a7", 10),
    "applications.SET_SEALED": ("a7", b"", None, None, None, b"", None),
    "applications._SIGNING": (["a7", "a8"],),
    "applications._SHORTEN_TOKENS": ("a7", "access", 5),
    "applications._SHORTEN_ALL_TOKENS": ("a7", 5),
    "applications._DELETE_TOKENS_OF_OVERLAP": ("a7",),
    "applications._SHORTEN_TOKEN": (b"t7", 5),
    "applications._DELETE_TOKEN": (b"t7",),
    "applications._DELETE_ENDED": ("a7", 5),
    "applications._DELETE_TOKENS": ("a7",),
    "standings.SELECT_STANDINGS": (SEVERAL,),
    "standings.UPDATE_RESUMED": ("s7",),
    "standings.DELETE_STANDING": ("s7",),
    "subscriptions._FIND": OF_ONE,
    "subscriptions._OF_APPLICATIONS": (["a7", "a8"],),
    "subscriptions._BY_IDS": (SEVERAL,),
    "subscriptions._RENEW": ("a7", "http://a/"),
    "subscriptions._LIST": ("a7", "", 10, 0),
    "subscriptions._COUNT": ("a7", ""),
    "subscriptions._DELETE": ("a7", SEVERAL),
    "subscriptions._DELETE_MATCHING": ("a7", "", ""),
}

NOT_HOT = {
    "applications._LIST": "for a person, over all that there are",
    "standings.SELECT_STOPPED": "over those that are not served in the usual way",
    "standings.SELECT_EVERYBODY": "once at a start, over those that are not served in the usual way",
    "subscriptions._ALL": "once at a start, everybody",
    "subscriptions._LIST_ALL": "for a person, over all that there are",
    "subscriptions._COUNT_ALL": "for a person, over all that there are",
}
WRITES = {
    "applications._INSERT",
    "applications._INSERT_TOKEN",
    "standings.UPSERT_POLICY",
    "standings.UPSERT_PAUSED",
    "standings.UPSERT_DISABLED",
    "subscriptions._INSERT",
    "subscriptions._UPSERT",
}
SETS_OF_ONE = {
    "applications._DELETE",
    "applications._SET_NAME",
    "applications._SET_FROZEN",
    "applications._SET_DELETING",
    "applications._ROTATE_SECRET",
    "applications._ROTATE_SIGNING_SECRET",
    "applications._ROTATE_SIGNING_KEY",
    "applications._REMOVE_SIGNING_KEY",
    "applications._SET_CALLBACK_CA",
    "applications._SET_CLIENT_CERTIFICATE",
    "applications._SET_CALLBACK_HEADERS",
    "applications._SET_VERIFICATION_KEY",
}
"""What an operator sets of one application, by the primary key."""

ROWS = 5_000
FILL = {
    "application": "application_id, name, secret_hash, signing_secret_sealed, created_at",
    "token": "token_hash, application_id, kind, expires_at",
    "standing": "subscription_id, paused_at",
    "subscription": "subscription_id, application_id, event_type, callback_url, created_at",
}


def row_of(table: str, number: int) -> tuple[object, ...]:
    application_id, subscription_id, secret = f"a{number}", f"s{number}", b"t%d" % number
    match table:
        case "application":
            return application_id, "name", secret, secret, number
        case "token":
            return secret, application_id, "access", number
        case "standing":
            return subscription_id, number
        case _:
            return subscription_id, application_id, "x", "http://a/", number


def statements() -> dict[str, Statement]:
    return {
        f"{prefix}.{name}": each
        for prefix, module in NAMED.items()
        for name, each in vars(module).items()
        if isinstance(each, Statement)
    }


def test_every_statement_is_named_here() -> None:
    assert set(statements()) == {*HOT, *NOT_HOT, *WRITES, *SETS_OF_ONE}


@pytest.fixture
async def filled(database):
    async def fill(tx) -> None:
        for table, columns in FILL.items():
            places = ", ".join(f"?{place}" for place in range(1, columns.count(",") + 2))
            insert = portable(f"INSERT INTO {table} ({columns}) VALUES ({places})")
            await tx.execute_many(insert, [row_of(table, number) for number in range(ROWS)])
            await tx.execute(portable(f"ANALYZE {table}"))

    await database.write(fill)
    yield database
    await database.write(forget)


async def forget(tx) -> None:
    for table in FILL:
        await tx.execute(portable(f"DELETE FROM {table}"))
        await tx.execute(portable(f"ANALYZE {table}"))


async def plan(tx, statement: Statement, arguments: tuple[object, ...]) -> list[str]:
    explain = differing(
        sqlite=f"EXPLAIN QUERY PLAN {statement.sqlite}", postgres=f"EXPLAIN (COSTS FALSE) {statement.postgres}"
    )
    return [str(row[-1]) for row in await tx.fetch(explain, *arguments)]


def walks(steps: list[str]) -> list[str]:
    """Return the steps that walk through a table."""
    return [
        step
        for step in steps
        if "Seq Scan" in step or (step.startswith("SCAN") and "json_each" not in step and "VIRTUAL" not in step)
    ]


async def test_every_hot_statement_uses_an_index(filled) -> None:
    found = {name: walks(await filled.write(plan, statements()[name], HOT[name])) for name in HOT}
    assert not {name: steps for name, steps in found.items() if steps}
    noticed = await filled.write(plan, portable("SELECT 1 FROM token WHERE expires_at = 5"), ())
    assert walks(noticed), "a statement without an index"
