"""The first tables.

Plain column types stand here, not those of `storage.column_types`: a step must go on to mean what it meant.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
WORD = sa.String(32)


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
    )
    op.create_table(
        "guilds",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_guilds"),
    )
    _create_jobs_and_images()
    _create_credit_entries()
    op.create_table(
        "allowances",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("guild_id", sa.BigInteger()),
        sa.Column("credits", sa.Integer()),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_allowances"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_allowances_user_id_users"),
        sa.ForeignKeyConstraint(["guild_id"], ["guilds.id"], name="fk_allowances_guild_id_guilds"),
        sa.CheckConstraint("credits >= 0", name="ck_allowances_credits"),
    )
    _create_partial_index(
        "uq_allowances_member", "allowances", ["user_id", "guild_id"], where="guild_id IS NOT NULL", unique=True
    )
    _create_partial_index("uq_allowances_direct", "allowances", ["user_id"], where="guild_id IS NULL", unique=True)
    op.create_table(
        "settings",
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("scope_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("key", sa.String(100), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "scope_id", "key", name="pk_settings"),
        sa.CheckConstraint("scope IN ('guild', 'user')", name="ck_settings_scope"),
    )
    op.create_table(
        "moderator_log",
        sa.Column("id", ID, nullable=False),
        sa.Column("guild_id", sa.BigInteger(), nullable=False),
        sa.Column("moderator_id", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("target_id", sa.BigInteger()),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_moderator_log"),
        sa.ForeignKeyConstraint(["guild_id"], ["guilds.id"], name="fk_moderator_log_guild_id_guilds"),
    )
    op.create_index("ix_moderator_log_guild_id", "moderator_log", ["guild_id"])


def _create_jobs_and_images() -> None:
    # The two refer to each other. SQLite can add no constraint later, but takes one to a table that is yet to come;
    # PostgreSQL is the other way round.
    name = "fk_jobs_parent_image_id_images"
    on_sqlite = op.get_context().dialect.name == "sqlite"
    op.create_table(
        "jobs",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("guild_id", sa.BigInteger()),
        sa.Column("channel_id", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.BigInteger()),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("recipes", sa.Text(), nullable=False),
        sa.Column("request", sa.String(), nullable=False),
        sa.Column("style", sa.String()),
        sa.Column("cost", sa.Integer(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("parent_image_id", ID),
        sa.Column("status", WORD, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String()),
        sa.Column("lease_until", MOMENT),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("started_at", MOMENT),
        sa.Column("finished_at", MOMENT),
        sa.Column("delivered_at", MOMENT),
        sa.Column("error", sa.String()),
        sa.Column("request_key", sa.String(100)),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_jobs_user_id_users"),
        sa.ForeignKeyConstraint(["guild_id"], ["guilds.id"], name="fk_jobs_guild_id_guilds"),
        *([sa.ForeignKeyConstraint(["parent_image_id"], ["images.id"], name=name)] if on_sqlite else []),
        sa.UniqueConstraint("request_key", name="uq_jobs_request_key"),
        sa.CheckConstraint("cost >= 0", name="ck_jobs_cost"),
        sa.CheckConstraint("attempt >= 0", name="ck_jobs_attempt"),
        sa.CheckConstraint("status IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="ck_jobs_status"),
        sa.CheckConstraint("(status IN ('queued', 'running')) = (finished_at IS NULL)", name="ck_jobs_finished"),
        sa.CheckConstraint(
            "(status = 'running') = (worker IS NOT NULL) AND (status = 'running') = (lease_until IS NOT NULL)",
            name="ck_jobs_leased",
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_jobs_status_created_at", "jobs", ["status", "created_at"])
    op.create_index("ix_jobs_status_finished_at", "jobs", ["status", "finished_at"])
    op.create_index("ix_jobs_user_id_guild_id_status", "jobs", ["user_id", "guild_id", "status"])
    _create_partial_index(
        "ix_jobs_undelivered", "jobs", ["finished_at"], where="delivered_at IS NULL AND finished_at IS NOT NULL"
    )
    op.create_table(
        "images",
        sa.Column("id", ID, nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("guild_id", sa.BigInteger()),
        sa.Column("recipe", sa.Text(), nullable=False),
        sa.Column("parent_image_id", ID),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_images"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_images_job_id_jobs"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_images_user_id_users"),
        sa.ForeignKeyConstraint(["guild_id"], ["guilds.id"], name="fk_images_guild_id_guilds"),
        sa.ForeignKeyConstraint(["parent_image_id"], ["images.id"], name="fk_images_parent_image_id_images"),
        sa.UniqueConstraint("job_id", "index", name="uq_images_job_id_index"),
        sqlite_autoincrement=True,
    )
    if not on_sqlite:
        op.create_foreign_key(name, "jobs", "images", ["parent_image_id"], ["id"])


def _create_credit_entries() -> None:
    op.create_table(
        "credit_entries",
        sa.Column("id", ID, nullable=False),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("guild_id", sa.BigInteger()),
        sa.Column("job_id", ID),
        sa.Column("day", sa.Date()),
        sa.Column("allowance_revision", sa.Integer()),
        sa.Column("allowance_part", sa.Integer(), nullable=False),
        sa.Column("granted_part", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_credit_entries"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_credit_entries_user_id_users"),
        sa.ForeignKeyConstraint(["guild_id"], ["guilds.id"], name="fk_credit_entries_guild_id_guilds"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_credit_entries_job_id_jobs"),
        sa.UniqueConstraint("job_id", "kind", name="uq_credit_entries_job_id_kind"),
        sa.CheckConstraint("(kind = 'grant') = (job_id IS NULL)", name="ck_credit_entries_job"),
        sa.CheckConstraint(
            "(kind = 'grant') = (day IS NULL) AND (day IS NULL) = (allowance_revision IS NULL)",
            name="ck_credit_entries_counted_against",
        ),
        sa.CheckConstraint(
            "CASE kind WHEN 'hold' THEN allowance_part <= 0 AND granted_part <= 0"
            " WHEN 'refund' THEN allowance_part >= 0 AND granted_part >= 0"
            " WHEN 'settle' THEN allowance_part = 0 AND granted_part = 0"
            " ELSE allowance_part = 0 AND granted_part > 0 END",
            name="ck_credit_entries_parts",
        ),
    )
    op.create_index("ix_credit_entries_user_id_guild_id_day", "credit_entries", ["user_id", "guild_id", "day"])
    _create_partial_index(
        "uq_credit_entries_ending", "credit_entries", ["job_id"], where="kind IN ('settle', 'refund')", unique=True
    )
    _create_partial_index(
        "ix_credit_entries_granted",
        "credit_entries",
        ["user_id", "guild_id", "granted_part"],
        where="granted_part <> 0",
    )


def _create_partial_index(name: str, table: str, columns: list[str], *, where: str, unique: bool = False) -> None:
    op.create_index(name, table, columns, unique=unique, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
