"""Images can be found by their file and by their recipe."""

from __future__ import annotations

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

AT_ONCE = 1000  # rows whose recipes are held in memory


def upgrade() -> None:
    op.add_column("images", sa.Column("recipe_digest", sa.String(64)))
    _fill_in()
    op.create_index("ix_images_digest", "images", ["digest"])
    op.create_index("ix_images_recipe_digest", "images", ["recipe_digest"])


def _fill_in() -> None:
    """The SHA-256 of each recipe's text, which is canonical as it is stored."""
    images = sa.table(
        "images", sa.column("id", sa.BigInteger), sa.column("recipe", sa.Text), sa.column("recipe_digest")
    )
    connection = op.get_bind()
    last = 0
    while rows := connection.execute(
        sa.select(images.c.id, images.c.recipe).where(images.c.id > last).order_by(images.c.id).limit(AT_ONCE)
    ).all():
        connection.execute(
            images.update().where(images.c.id == sa.bindparam("row")).values(recipe_digest=sa.bindparam("digest")),
            [{"row": row.id, "digest": hashlib.sha256(row.recipe.encode()).hexdigest()} for row in rows],
        )
        last = rows[-1].id
