"""Column types that keep our values whole on SQLite and PostgreSQL alike."""

from __future__ import annotations

import enum
import json
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import BigInteger, DateTime, Dialect, Enum, Integer, SmallInteger, Text
from sqlalchemy.types import TypeDecorator

from generation.job import Priority
from generation.recipe import Recipe

E = TypeVar("E", bound=enum.StrEnum)

# SQLite counts rows up by itself only in a column that is declared exactly INTEGER.
RowId = BigInteger().with_variant(Integer(), "sqlite")


def words(kind: type[E]) -> Enum:
    """A column of the enum's values (not its names) as plain text, so that the tables read as the design speaks."""
    return Enum(
        kind,
        native_enum=False,
        create_constraint=False,
        length=32,
        values_callable=lambda members: [member.value for member in members],
        validate_strings=True,
    )


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime: `timestamptz` on PostgreSQL; the UTC wall time on SQLite, which knows no zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"not an aware datetime: {value!r}")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class RecipeJson(TypeDecorator[Recipe]):
    """A recipe as its canonical JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Recipe | None, dialect: Dialect) -> str | None:
        return None if value is None else value.to_json()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Recipe | None:
        return None if value is None else Recipe.from_json(value)


class RecipesJson(TypeDecorator[tuple[Recipe, ...]]):
    """The recipes of a job, in grid order, as one JSON array of canonical recipes."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[Recipe, ...] | None, dialect: Dialect) -> str | None:
        return None if value is None else f"[{','.join(recipe.to_json() for recipe in value)}]"

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[Recipe, ...] | None:
        if value is None:
            return None
        recipes: list[dict[str, Any]] = json.loads(value)
        return tuple(Recipe.from_dict(recipe) for recipe in recipes)


class PriorityNumber(TypeDecorator[Priority]):
    """A priority as its number, so that the database can order by it."""

    impl = SmallInteger
    cache_ok = True

    def process_bind_param(self, value: Priority | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> Priority | None:
        return None if value is None else Priority(value)
