"""Bans, blocked words, allowances of roles, favourites, messages with pictures, files of deleted ones; spoilers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for name in ("spoiler", "age_restricted"):
        op.add_column("jobs", sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("jobs", sa.Column("answer_token", sa.String(500)))
    with op.batch_alter_table("moderator_log") as log:
        log.alter_column("moderator_id", existing_type=sa.BigInteger(), nullable=True)
    op.create_index(
        "ix_jobs_relaxed",
        "jobs",
        ["user_id", "guild_id", "created_at"],
        sqlite_where=sa.text("priority = 2"),
        postgresql_where=sa.text("priority = 2"),
    )
    op.create_index(
        "ix_jobs_bare",
        "jobs",
        ["message_id"],
        sqlite_where=sa.text("recipes = '[]' AND message_id IS NOT NULL"),
        postgresql_where=sa.text("recipes = '[]' AND message_id IS NOT NULL"),
    )
    op.create_table(
        "role_allowances",
        _guild(),
        sa.Column("role_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("credits", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("guild_id", "role_id", name="pk_role_allowances"),
        _of("role_allowances", "guild"),
        sa.CheckConstraint("credits >= 0", name="ck_role_allowances_credits"),
    )
    op.create_table(
        "bans",
        _guild(),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("moderator_id", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("guild_id", "user_id", name="pk_bans"),
        _of("bans", "guild"),
        _of("bans", "user"),
    )
    op.create_table(
        "blocked_words",
        _guild(),
        sa.Column("word", sa.String(100), nullable=False),
        sa.PrimaryKeyConstraint("guild_id", "word", name="pk_blocked_words"),
        _of("blocked_words", "guild"),
    )
    op.create_table(
        "favourites",
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("image_id", _row_id(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "image_id", name="pk_favourites"),
        _of("favourites", "user"),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name="fk_favourites_image_id_images", ondelete="CASCADE"),
    )
    op.create_index("ix_favourites_image_id", "favourites", ["image_id"])
    op.create_table(
        "showings",
        sa.Column("message_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("channel_id", sa.BigInteger(), nullable=False),
        sa.Column("job_id", _row_id(), nullable=False),
        sa.Column("image_id", _row_id()),
        sa.PrimaryKeyConstraint("message_id", name="pk_showings"),
        _of("showings", "job"),
    )
    op.create_index("ix_showings_job_id", "showings", ["job_id"])
    op.create_table(
        "deleted_files",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_deleted_files"),
    )
    for table in ("jobs", "images"):
        op.create_index(f"ix_{table}_parent_image_id", table, ["parent_image_id"])
    op.create_index("ix_jobs_message_id", "jobs", ["message_id"])


def _guild() -> sa.Column[int]:
    return sa.Column("guild_id", sa.BigInteger(), nullable=False)


def _row_id() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _of(table: str, what: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([f"{what}_id"], [f"{what}s.id"], name=f"fk_{table}_{what}_id_{what}s")
