"""What people were asked before several jobs are ordered at once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "confirmations",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("guild_id", sa.BigInteger()),
        sa.Column("channel_id", sa.BigInteger(), nullable=False),
        sa.Column("requests", sa.JSON(), nullable=False),
        sa.Column("picture", sa.JSON()),
        sa.Column("cost", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_confirmations"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_confirmations_user_id_users"),
        sa.ForeignKeyConstraint(["guild_id"], ["guilds.id"], name="fk_confirmations_guild_id_guilds"),
        sa.CheckConstraint("cost >= 0", name="ck_confirmations_cost"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_confirmations_expires_at", "confirmations", ["expires_at"])
