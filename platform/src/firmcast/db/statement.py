"""SQL is written once, with numbered parameters `?1`, `?2` …; where the stores differ, both texts stand side by side.

Three rules let one text serve SQLite and PostgreSQL:

* parameters are numbered and positional;
* a Python list as an argument is a set: SQLite receives it as JSON text, to be read with `json_each(?1)`,
  PostgreSQL as an array, to be read with `= ANY(?1)`; such statements give both texts;
* times are stored as whole microseconds since 1970 (see `columns.py`), truth values as 0 and 1.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement in the dialect of each store; an empty one where a store has nothing to execute for it."""

    sqlite: str
    postgres: str
    is_packed: bool = False
    """The text for SQLite returns one row: the rows that are meant, as a JSON array of arrays."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a table that many rows are added to at once, where the store has a way for that."""

    table: str
    names: str
    """With commas between them."""


def portable(sql: str) -> Statement:
    """Return a statement whose text is the same in both dialects."""
    return Statement(sqlite=sql, postgres=sql)


def differing(*, sqlite: str, postgres: str) -> Statement:
    """Return a statement that each store spells in its own way."""
    return Statement(sqlite=sqlite, postgres=postgres)


def packed(*, sqlite: str, postgres: str) -> Statement:
    """Return a statement of a hot path, whose rows SQLite packs into one JSON array of arrays, in any order.

    The interpreter is given away and asked for again at every row that a thread steps to, and whoever else wants it
    pays for that: of a thousand rows more than the rows cost.
    """
    return Statement(sqlite=sqlite, postgres=postgres, is_packed=True)
