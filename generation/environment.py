"""Which variables of the environment are secrets, and what is left of it for processes that need none of them."""

from __future__ import annotations

from collections.abc import Mapping

# Whose values are cut out of every line of the log.
SECRETS = (
    "DISCORD_TOKEN",
    "RAY_AUTH_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "PGPASSWORD",
    "HF_TOKEN",
)
# How the names begin of all that opens Discord, a cluster, the pictures' storage or the database, or says where the
# keys to them lie. Settings are among them, as LIMNER_STORAGE__DATABASE may hold a password. HF_TOKEN is not: a worker
# downloads weights with it.
_OF_THE_BOT_ALONE = ("DISCORD_TOKEN", "RAY_AUTH_TOKEN", "AWS_", "PGPASS", "LIMNER_")


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """What a process may see that paints, or knocks at a stranger's door: all but what is the bot's alone."""
    return {name: value for name, value in environment.items() if not name.upper().startswith(_OF_THE_BOT_ALONE)}
