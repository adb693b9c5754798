"""Databases as earlier programs left them: brought to a revision, and filled in that revision's own SQL.

Plain SQL on purpose: the tables and verbs of today would write what today's program writes. A new migration needs an
entry in `ADDED`, with rows in whatever it brought.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from storage.database import create_engine

ANNA, BEN, HARBOUR = 80_351_110_224_678_912, 9_007_199_254_740_993, 41_771_983_423_143_937
MORE_IMAGES = 2_100  # more than a migration holds in memory at once

Rows = Mapping[str, list[dict[str, Any]]]


def _recipe(seed: int) -> str:
    """As programs of all these revisions wrote it."""
    return (
        '{"guidance_scale":5.0,"height":96,"loras":[{"name":"neon","weight":0.5}],"model":"pocket",'
        f'"num_inference_steps":20,"prompt":"ein rotes Boot — 紅い船 🛶","seed":{seed},'
        f'"source":{{"digest":"{"ab" * 32}","strength":0.3}},"version":1,"width":128}}'
    )


def _moment(hour: int, *, sqlite: bool) -> str:
    return f"'2026-03-14 {hour:02}:00:00.000000" + ("'" if sqlite else "+00'")


def _first(sqlite: bool) -> Sequence[str]:
    at = [_moment(hour, sqlite=sqlite) for hour in range(24)]
    of_jobs = (
        "user_id, guild_id, channel_id, message_id, kind, recipes, request, style, cost, priority, parent_image_id,"
        " status, attempt, worker, lease_until, created_at, started_at, finished_at, delivered_at, error, request_key"
    )
    two, one = f"'[{_recipe(7)},{_recipe(8)}]'", f"'[{_recipe(9)}]'"
    anna, direct = f"{ANNA}, {HARBOUR}, 5", f"{BEN}, NULL, 6"
    of_images = 'job_id, "index", user_id, guild_id, recipe, parent_image_id, digest, width, height, created_at'
    of_entries = "kind, user_id, guild_id, job_id, day, allowance_revision, allowance_part, granted_part, created_at"
    return [
        f"INSERT INTO users (id, created_at) VALUES ({ANNA}, {at[1]}), ({BEN}, {at[1]})",
        f"INSERT INTO guilds (id, created_at) VALUES ({HARBOUR}, {at[1]})",
        # Drawn and delivered; waiting; being drawn; failed and not yet told; called off.
        f"INSERT INTO jobs ({of_jobs}) VALUES"
        f" ({anna}, 70, 'imagine', {two}, 'a red boat --n 2', 'ink', 2, 1, NULL,"
        f"  'done', 1, NULL, NULL, {at[2]}, {at[3]}, {at[4]}, {at[4]}, NULL, 'key-1'),"
        f" ({anna}, 71, 'imagine', {one}, 'a boat', NULL, 1, 1, NULL,"
        f"  'queued', 0, NULL, NULL, {at[5]}, NULL, NULL, NULL, NULL, 'key-2'),"
        f" ({direct}, NULL, 'imagine', {one}, 'a tower', NULL, 1, 1, NULL,"
        f"  'running', 2, 'host/cuda:0', {at[6]}, {at[5]}, {at[5]}, NULL, NULL, NULL, 'key-3'),"
        f" ({anna}, 72, 'upscale_subtle', {one}, 'a boat', NULL, 4, 1, NULL,"
        f"  'failed', 3, NULL, NULL, {at[5]}, {at[5]}, {at[6]}, NULL, 'worker_lost', NULL),"
        f" ({direct}, 73, 'imagine', {one}, 'a boat', NULL, 1, 1, NULL,"
        f"  'cancelled', 0, NULL, NULL, {at[5]}, NULL, {at[6]}, {at[6]}, NULL, NULL)",
        f"INSERT INTO images ({of_images}) VALUES"
        f" (1, 0, {ANNA}, {HARBOUR}, '{_recipe(7)}', NULL, '{'c0' * 32}', 128, 96, {at[4]}),"
        f" (1, 1, {ANNA}, {HARBOUR}, '{_recipe(8)}', NULL, '{'c1' * 32}', 128, 96, {at[4]})",
        f"INSERT INTO images ({of_images})"
        f" WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {MORE_IMAGES})"
        f" SELECT 1, n + 1, {ANNA}, {HARBOUR}, '{_recipe(10)}', NULL, '{'c2' * 32}', 128, 96, {at[4]} FROM numbers",
        # From a picture of the first job: the two tables refer to each other.
        f"INSERT INTO jobs ({of_jobs}) VALUES"
        f" ({anna}, 74, 'variations', {two}, 'a red boat', 'ink', 2, 1, 1,"
        f"  'done', 1, NULL, NULL, {at[7]}, {at[7]}, {at[8]}, NULL, NULL, NULL)",
        f"INSERT INTO images ({of_images}) VALUES"
        f" (6, 0, {ANNA}, {HARBOUR}, '{_recipe(9)}', 2, '{'c3' * 32}', 128, 96, {at[8]})",
        f"INSERT INTO credit_entries ({of_entries}) VALUES"
        f" ('grant', {ANNA}, {HARBOUR}, NULL, NULL, NULL, 0, 10, {at[1]}),"
        f" ('hold', {ANNA}, {HARBOUR}, 1, '2026-03-14', 0, -2, 0, {at[2]}),"
        f" ('settle', {ANNA}, {HARBOUR}, 1, '2026-03-14', 0, 0, 0, {at[4]}),"
        f" ('hold', {ANNA}, {HARBOUR}, 2, '2026-03-14', 0, -1, 0, {at[5]}),"
        f" ('hold', {BEN}, NULL, 3, '2026-03-14', 2, -1, 0, {at[5]}),"
        f" ('hold', {ANNA}, {HARBOUR}, 4, '2026-03-14', 0, -2, -2, {at[5]}),"
        f" ('refund', {ANNA}, {HARBOUR}, 4, '2026-03-14', 0, 2, 2, {at[6]})",
        f"INSERT INTO allowances (user_id, guild_id, credits, revision) VALUES ({ANNA}, {HARBOUR}, 50, 0),"
        f" ({BEN}, NULL, NULL, 2)",
        "INSERT INTO settings (scope, scope_id, key, value) VALUES"
        f" ('guild', {HARBOUR}, 'allowance', '40'), ('user', {ANNA}, 'defaults', '{{\"style\":\"ink\"}}')",
        "INSERT INTO moderator_log (guild_id, moderator_id, action, target_id, details, created_at) VALUES"
        f" ({HARBOUR}, {BEN}, 'quota.set', {ANNA}, '{{\"credits\":50}}', {at[1]}),"
        f" ({HARBOUR}, {BEN}, 'quota.default', NULL, '{{\"credits\":40}}', {at[1]})",
    ]


def _images_by_content(sqlite: bool) -> Sequence[str]:
    return [
        f"UPDATE images SET recipe_digest = '{hashlib.sha256(_recipe(seed).encode()).hexdigest()}'"
        f" WHERE recipe = '{_recipe(seed)}'"
        for seed in (7, 8, 9)
    ]


def _confirmations(sqlite: bool) -> Sequence[str]:
    return [
        "INSERT INTO confirmations (user_id, guild_id, channel_id, requests, picture, cost, expires_at) VALUES"
        f' ({ANNA}, {HARBOUR}, 5, \'["a boat","a tower"]\', \'{{"digest":"{"ab" * 32}"}}\', 2,'
        f" {_moment(23, sqlite=sqlite)})"
    ]


def _community(sqlite: bool) -> Sequence[str]:
    at = _moment(9, sqlite=sqlite)
    return [
        f"UPDATE jobs SET spoiler = {'1' if sqlite else 'true'} WHERE id = 1",
        "UPDATE jobs SET answer_token = 'aW50ZXJhY3Rpb24' WHERE id = 2",
        "INSERT INTO showings (message_id, channel_id, job_id, image_id) VALUES (70, 5, 1, NULL), (75, 5, 1, 2)",
        f"INSERT INTO role_allowances (guild_id, role_id, credits) VALUES ({HARBOUR}, 11, 60)",
        "INSERT INTO bans (guild_id, user_id, moderator_id, reason, until, created_at)"
        f" VALUES ({HARBOUR}, {BEN}, {ANNA}, 'spam', NULL, {at})",
        f"INSERT INTO blocked_words (guild_id, word) VALUES ({HARBOUR}, 'köder')",
        f"INSERT INTO deleted_files (digest) VALUES ('{'ab' * 32}')",
        f"INSERT INTO favourites (user_id, image_id, created_at) VALUES ({BEN}, 1, {at})",
        "INSERT INTO moderator_log (guild_id, moderator_id, action, target_id, details, created_at)"
        f" VALUES ({HARBOUR}, NULL, 'words.hit', {BEN}, '{{}}', {at})",
    ]


# What a program of each revision had written, beside what those before it had.
ADDED = {"0001": _first, "0002": _images_by_content, "0003": _confirmations, "0004": _community}


def revisions() -> list[str]:
    """All that there are, oldest first."""
    return [step.revision for step in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]


async def fill(database: str, revision: str) -> None:
    """Bring an empty database to a revision by its migrations, and let it hold something in every table."""
    engine = create_engine(database)
    sqlite = engine.dialect.name == "sqlite"
    async with engine.execution_options(writes=True).begin() as connection:
        await connection.run_sync(lambda sync: command.upgrade(_config(sync), revision))
        for known in revisions()[: revisions().index(revision) + 1]:
            for statement in ADDED[known](sqlite):
                # Not `text`: colons in JSON are no parameters.
                await connection.exec_driver_sql(statement)
    await engine.dispose()


async def rows(database: str) -> Rows:
    """All rows of all tables, by table, in the order of their keys."""
    engine = create_engine(database)
    async with engine.connect() as connection:
        found = await connection.run_sync(_rows)
    await engine.dispose()
    return found


def _rows(connection: Connection) -> Rows:
    inspector = inspect(connection)
    found = {}
    for table in sorted(set(inspector.get_table_names()) - {"alembic_version"}):
        key = ", ".join(inspector.get_pk_constraint(table)["constrained_columns"])
        result = connection.execute(text(f"SELECT * FROM {table} ORDER BY {key}"))
        found[table] = [dict(row) for row in result.mappings()]
    return found


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", "storage:migrations")
    config.attributes["connection"] = connection
    return config
