"""The tables, and nothing but the tables: what they mean is said where their verbs are.

A change here needs a migration in `migrations/versions`; a test compares the two.
"""

from __future__ import annotations

import enum
from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    MetaData,
    String,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from generation.job import JobKind, JobStatus, Priority
from generation.recipe import Recipe
from storage.column_types import PriorityNumber, RecipeJson, RecipesJson, RowId, UtcDateTime, words


class Table(DeclarativeBase):
    """All constraints have names: PostgreSQL needs them to change one, and SQLite's and PostgreSQL's are then alike."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  (SQLAlchemy's own way to set it)
        datetime: UtcDateTime,
        JobKind: words(JobKind),
        JobStatus: words(JobStatus),
        Priority: PriorityNumber,
        Recipe: RecipeJson,
        tuple[Recipe, ...]: RecipesJson,
    }


def _snowflake(*, primary_key: bool = False) -> Any:
    """Discord's ids: 64 bits, given by Discord and never counted up by the database."""
    return mapped_column(BigInteger, primary_key=primary_key, autoincrement=False if primary_key else "auto")


def _digest_of_recipe(context: Any) -> str:
    """SHA-256 (hex) of the recipe's canonical JSON."""
    recipe: Recipe = context.get_current_parameters()["recipe"]
    return recipe.digest


class UserRow(Table):
    """A person, from the first time that something of theirs had to be remembered."""

    __tablename__ = "users"

    id: Mapped[int] = _snowflake(primary_key=True)
    created_at: Mapped[datetime]


class GuildRow(Table):
    """A server, from the first time that something of it had to be remembered."""

    __tablename__ = "guilds"

    id: Mapped[int] = _snowflake(primary_key=True)
    created_at: Mapped[datetime]


# As it is written in the condition of an index.
RELAXED = Priority.RELAX.value


class JobRow(Table):
    """A job: the fields of `generation.job.Job`, the key that makes ordering idempotent, and until it is delivered the
    token by which the answer to its order can be changed."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("cost >= 0", name="cost"),
        CheckConstraint("attempt >= 0", name="attempt"),
        CheckConstraint("status IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="status"),
        CheckConstraint("(status IN ('queued', 'running')) = (finished_at IS NULL)", name="finished"),
        CheckConstraint(
            "(status = 'running') = (worker IS NOT NULL) AND (status = 'running') = (lease_until IS NOT NULL)",
            name="leased",
        ),
        # The queue reads "what waits, oldest first" and "what ran since then"; both begin with a status.
        Index(None, "status", "created_at"),
        Index(None, "status", "finished_at"),
        # Before an image is deleted, whatever came of it is looked for.
        Index(None, "parent_image_id"),
        # A message that is gone is forgotten.
        Index(None, "message_id"),
        # A member's own jobs, and how many are unfinished: read at every order.
        Index(None, "user_id", "guild_id", "status"),
        # Few jobs are ever in it: their words are deleted, and their message is still to be removed.
        Index(
            "ix_jobs_bare",
            "message_id",
            sqlite_where=text("recipes = '[]' AND message_id IS NOT NULL"),
            postgresql_where=text("recipes = '[]' AND message_id IS NOT NULL"),
        ),
        # How many relaxed jobs a member ordered today.
        Index(
            "ix_jobs_relaxed",
            "user_id",
            "guild_id",
            "created_at",
            sqlite_where=text(f"priority = {RELAXED}"),
            postgresql_where=text(f"priority = {RELAXED}"),
        ),
        # Few jobs are ever in it: ended, and the person has not seen it yet.
        Index(
            "ix_jobs_undelivered",
            "finished_at",
            sqlite_where=text("delivered_at IS NULL AND finished_at IS NOT NULL"),
            postgresql_where=text("delivered_at IS NULL AND finished_at IS NOT NULL"),
        ),
        # Ids stand in the buttons of old messages: SQLite must never give one away again after a deletion.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    guild_id: Mapped[int | None] = mapped_column(ForeignKey("guilds.id"))
    channel_id: Mapped[int] = _snowflake()
    message_id: Mapped[int | None] = _snowflake()
    kind: Mapped[JobKind]
    recipes: Mapped[tuple[Recipe, ...]]
    request: Mapped[str]
    style: Mapped[str | None]
    cost: Mapped[int]
    priority: Mapped[Priority]
    parent_image_id: Mapped[int | None] = mapped_column(ForeignKey("images.id", use_alter=True))
    status: Mapped[JobStatus]
    attempt: Mapped[int]
    worker: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    error: Mapped[str | None]
    request_key: Mapped[str | None] = mapped_column(String(100), unique=True)
    spoiler: Mapped[bool] = mapped_column(default=False, server_default=false())
    age_restricted: Mapped[bool] = mapped_column(default=False, server_default=false())
    answer_token: Mapped[str | None] = mapped_column(String(500))


class ImageRow(Table):
    """One finished picture. Its bytes are the file of that `digest`; several images may share one."""

    __tablename__ = "images"
    __table_args__ = (
        UniqueConstraint("job_id", "index"),
        # A picture that somebody shows us is looked up by its bytes, and a copy of it by the recipe that it carries.
        Index(None, "digest"),
        Index(None, "recipe_digest"),
        # Before an image is deleted, whatever came of it is looked for.
        Index(None, "parent_image_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"))
    index: Mapped[int]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    guild_id: Mapped[int | None] = mapped_column(ForeignKey("guilds.id"))
    recipe: Mapped[Recipe]
    parent_image_id: Mapped[int | None] = mapped_column(ForeignKey("images.id"))
    digest: Mapped[str] = mapped_column(String(64))
    width: Mapped[int]
    height: Mapped[int]
    created_at: Mapped[datetime]
    recipe_digest: Mapped[str | None] = mapped_column(String(64), default=_digest_of_recipe)


class EntryKind(enum.StrEnum):
    """How credits move. `storage/ledger.py` says what each does to a balance."""

    GRANT = "grant"
    HOLD = "hold"
    SETTLE = "settle"
    REFUND = "refund"


class CreditEntryRow(Table):
    """One movement of credits of one member. Rows are only ever added."""

    __tablename__ = "credit_entries"
    __table_args__ = (
        # A job is charged once and ends once, whatever the code above believes.
        UniqueConstraint("job_id", "kind"),
        Index(
            "uq_credit_entries_ending",
            "job_id",
            unique=True,
            sqlite_where=text("kind IN ('settle', 'refund')"),
            postgresql_where=text("kind IN ('settle', 'refund')"),
        ),
        CheckConstraint("(kind = 'grant') = (job_id IS NULL)", name="job"),
        CheckConstraint(
            "(kind = 'grant') = (day IS NULL) AND (day IS NULL) = (allowance_revision IS NULL)", name="counted_against"
        ),
        CheckConstraint(
            "CASE kind WHEN 'hold' THEN allowance_part <= 0 AND granted_part <= 0"
            " WHEN 'refund' THEN allowance_part >= 0 AND granted_part >= 0"
            " WHEN 'settle' THEN allowance_part = 0 AND granted_part = 0"
            " ELSE allowance_part = 0 AND granted_part > 0 END",
            name="parts",
        ),
        Index(None, "user_id", "guild_id", "day"),
        # Granted credits do not lapse, so their sum is over all time, but few movements touch them.
        Index(
            "ix_credit_entries_granted",
            "user_id",
            "guild_id",
            "granted_part",
            sqlite_where=text("granted_part <> 0"),
            postgresql_where=text("granted_part <> 0"),
        ),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    kind: Mapped[EntryKind] = mapped_column(words(EntryKind))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    guild_id: Mapped[int | None] = mapped_column(ForeignKey("guilds.id"))
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"))
    day: Mapped[date | None]
    allowance_revision: Mapped[int | None]
    allowance_part: Mapped[int]
    granted_part: Mapped[int]
    created_at: Mapped[datetime]


class AllowanceRow(Table):
    """What a moderator set for one member. No row: nothing was ever set, and the server's default holds."""

    __tablename__ = "allowances"
    __table_args__ = (
        CheckConstraint("credits >= 0", name="credits"),
        # NULL is equal to nothing, so one index could not keep the rows of direct messages single.
        Index(
            "uq_allowances_member",
            "user_id",
            "guild_id",
            unique=True,
            sqlite_where=text("guild_id IS NOT NULL"),
            postgresql_where=text("guild_id IS NOT NULL"),
        ),
        Index(
            "uq_allowances_direct",
            "user_id",
            unique=True,
            sqlite_where=text("guild_id IS NULL"),
            postgresql_where=text("guild_id IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    guild_id: Mapped[int | None] = mapped_column(ForeignKey("guilds.id"))
    credits: Mapped[int | None]
    revision: Mapped[int]


class ConfirmationRow(Table):
    """A question that a person was asked and has not answered: the fields of `storage.confirmations.Confirmation`."""

    __tablename__ = "confirmations"
    __table_args__ = (
        CheckConstraint("cost >= 0", name="cost"),
        Index(None, "expires_at"),
        # Ids stand in the buttons of old messages: SQLite must never give one away again after a deletion.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    guild_id: Mapped[int | None] = mapped_column(ForeignKey("guilds.id"))
    channel_id: Mapped[int] = _snowflake()
    requests: Mapped[list[str]] = mapped_column(JSON)
    picture: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    cost: Mapped[int]
    expires_at: Mapped[datetime]


class SettingRow(Table):
    """One setting of one server or one person, as JSON."""

    __tablename__ = "settings"
    __table_args__ = (CheckConstraint("scope IN ('guild', 'user')", name="scope"),)

    scope: Mapped[str] = mapped_column(String(16), primary_key=True)
    scope_id: Mapped[int] = _snowflake(primary_key=True)
    key: Mapped[str] = mapped_column(String(100), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)


class RoleAllowanceRow(Table):
    """What those with a role of a server may spend a day."""

    __tablename__ = "role_allowances"
    __table_args__ = (CheckConstraint("credits >= 0", name="credits"),)

    guild_id: Mapped[int] = mapped_column(ForeignKey("guilds.id"), primary_key=True)
    role_id: Mapped[int] = _snowflake(primary_key=True)
    credits: Mapped[int]


class BanRow(Table):
    """Who may not order in a server, and until when: None is for good. A row may have run out."""

    __tablename__ = "bans"

    guild_id: Mapped[int] = mapped_column(ForeignKey("guilds.id"), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    moderator_id: Mapped[int] = _snowflake()
    reason: Mapped[str]
    until: Mapped[datetime | None]
    created_at: Mapped[datetime]


class BlockedWordRow(Table):
    """A word, or several, that prompts may not hold in a server: as moderators wrote it."""

    __tablename__ = "blocked_words"

    guild_id: Mapped[int] = mapped_column(ForeignKey("guilds.id"), primary_key=True)
    word: Mapped[str] = mapped_column(String(100), primary_key=True)


class FavouriteRow(Table):
    """A picture that somebody likes."""

    __tablename__ = "favourites"
    __table_args__ = (Index(None, "image_id"),)

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"), primary_key=True)
    created_at: Mapped[datetime]


class ShowingRow(Table):
    """A message that shows pictures beside the message of their job: the fields of `storage.showings.Showing`."""

    __tablename__ = "showings"
    __table_args__ = (Index(None, "job_id"),)

    message_id: Mapped[int] = _snowflake(primary_key=True)
    channel_id: Mapped[int] = _snowflake()
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"))
    # No foreign key: while the message stands it is to be known which picture it showed, also when that is gone.
    image_id: Mapped[int | None] = mapped_column(RowId)


class DeletedFileRow(Table):
    """A file that a deleted picture was kept in, as long as it is there: something unfinished may start from it yet."""

    __tablename__ = "deleted_files"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)


class ModeratorLogRow(Table):
    """One action of a moderator, or (`moderator_id` None) of Limner itself.

    Rows are added, and stay as they are but for words that their person has deleted.
    """

    __tablename__ = "moderator_log"
    __table_args__ = (Index(None, "guild_id"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    guild_id: Mapped[int] = mapped_column(ForeignKey("guilds.id"))
    moderator_id: Mapped[int | None] = _snowflake()
    action: Mapped[str]
    target_id: Mapped[int | None] = _snowflake()
    details: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime]
