"""What Discord sends, as little of it as discord.py needs to make its objects. https://docs.discord.com/developers"""

from __future__ import annotations

from typing import Any

APPLICATION, BOT, GUILD, OWNER = (2**50 + number for number in range(4))
TOKEN = "a-token-for-drills"  # which the server takes for good
CREATED = "2026-01-01T00:00:00+00:00"
UPLOAD_LIMIT = 10 * 2**20
# A member may see the channel and write and attach files in it.
MAY_ORDER = str(2**10 + 2**11 + 2**15)

# Types of interactions, and of the answers to them.
COMMAND, COMPONENT, AUTOCOMPLETE, MODAL = 2, 3, 4, 5
ANSWER, DEFERRED_ANSWER, DEFERRED_UPDATE, UPDATE = 4, 5, 6, 7
EPHEMERAL = 64  # of a message's flags


def user(user_id: int, *, bot: bool = False) -> dict[str, Any]:
    """A person, or us."""
    name = "limner" if bot else f"member-{user_id}"
    return {"id": str(user_id), "username": name, "discriminator": "0", "avatar": None, "bot": bot}


def application() -> dict[str, Any]:
    """What we are registered as."""
    return {
        "id": str(APPLICATION), "name": "Limner", "description": "", "icon": None, "bot_public": True, "flags": 0,
        "bot_require_code_grant": False, "verify_key": "0" * 64, "owner": user(OWNER), "summary": "", "team": None,
    }  # fmt: skip


def message(
    message_id: int, channel_id: int, *, content: str, components: list[Any], files: tuple[str, ...], flags: int
) -> dict[str, Any]:
    """One of our messages."""
    attachments = [
        {"id": str(message_id + place), "filename": name, "size": 1, "url": "http://127.0.0.1/", "proxy_url": ""}
        for place, name in enumerate(files, 1)
    ]
    return {
        "id": str(message_id), "channel_id": str(channel_id), "author": user(BOT, bot=True), "content": content,
        "timestamp": CREATED, "edited_timestamp": None, "tts": False, "mention_everyone": False, "mentions": [],
        "mention_roles": [], "attachments": attachments, "embeds": [], "pinned": False, "type": 0, "flags": flags,
        "components": components,
    }  # fmt: skip


def interaction(
    interaction_id: int, token: str, kind: int, data: dict[str, Any], *, member_id: int, channel_id: int
) -> dict[str, Any]:
    """A member of the server does something."""
    return {
        "id": str(interaction_id), "application_id": str(APPLICATION), "type": kind, "token": token, "version": 1,
        "channel_id": str(channel_id),
        "channel": {"id": str(channel_id), "type": 0, "guild_id": str(GUILD), "name": "pictures", "position": 0},
        "guild_id": str(GUILD), "guild_locale": "en-US", "locale": "en-GB", "app_permissions": MAY_ORDER,
        "entitlements": [], "authorizing_integration_owners": {"0": str(GUILD)}, "context": 0,
        "attachment_size_limit": UPLOAD_LIMIT, "data": data,
        "member": {
            "user": user(member_id), "roles": [], "joined_at": CREATED, "deaf": False, "mute": False, "flags": 0,
            "permissions": MAY_ORDER,
        },
    }  # fmt: skip
