"""Whatever people type, wherever they type it: no message of the bot's lets it be Markdown, a link or a mention."""

from __future__ import annotations

import io
import re

import discord
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.bot.every_command import leaves, picture, said_in, typed
from tests.bot.world import World, buttons, public
from tests.markdown import bare

MARK = "☢"  # stands in no sentence of ours
LONG = f"{MARK}`\n" * 600


def hostile(world: World) -> str:
    """Everything at once; the role and the member are there, and Discord would notify them."""
    role = world.guild.create_role("All hands", mentionable=True)
    return (
        f"{MARK} @everyone <@&{role.id}> <@{world.stranger.id}> `{MARK}` **{MARK}** [{MARK}](http://{MARK}.example)"
        f" ||{MARK}||\n# {MARK} \u202e{MARK}"
    )


def harmless(world: World, message: discord.Message) -> None:
    assert MARK not in bare(message.content), message.content
    assert "\u202e" not in message.content
    stored = world.env.backend.get_message(message.channel.id, message.id)
    assert not stored.mention_everyone
    assert not stored.ping_role_ids
    assert world.stranger.id not in stored.ping_user_ids
    assert not any(MARK in file.filename for file in message.attachments)
    assert not message.embeds


async def test_no_option_of_any_command_gets_out_of_its_code_span(world: World) -> None:
    tried, bad = 0, hostile(world)
    for leaf in leaves(world):
        for option in leaf.texts:
            for text in (bad, LONG[:1500]):
                filled = leaf.filled(world, option, text=text)
                for message in said_in(await typed(world, leaf, world.moderator, filled)):
                    harmless(world, message)
                tried += 1
    assert tried > 30
    assert world.messages()
    for message in world.messages():
        harmless(world, message)


async def test_no_button_under_such_a_picture_lets_it_out(world: World) -> None:
    message = await world.drawn(hostile(world) + " --n 1")
    assert MARK in message.content
    seen = [message]
    for button in buttons(message):
        world.clock.ahead += 10
        seen += said_in(await world.member.click(world.now(message), custom_id=button.custom_id))
    for menu in ("Recipe", "Vary", "Upscale"):
        world.clock.ahead += 10
        seen += said_in(await world.member.context_menu(world.channel, menu, world.now(message)))
    assert len(seen) > 10
    for one in (*seen, *world.messages()):
        harmless(world, one)


async def test_series_ask_about_it_and_place_it(world: World) -> None:
    asked = list(said_in(await world.member.slash(world.channel, "imagine", prompt=f"{{a, b}} {hostile(world)} --n 1")))
    harmless(world, asked[-1])
    await world.member.click(asked[-1], custom_id=str(buttons(asked[-1])[0].custom_id))
    await world.until(lambda: sum("Done in" in message.content for message in world.messages()) == 2)
    for message in world.messages():
        harmless(world, message)


@pytest.mark.parametrize("long", [False, True])
async def test_what_a_file_tells_of_itself_is_told_as_text(world: World, *, long: bool) -> None:
    text = LONG if long else hostile(world)
    info, file = PngInfo(), io.BytesIO()
    told = f'{text}\nNegative prompt: {text}\nSteps: 20, Model: "{MARK} `\\ud800\\n# {MARK}", {MARK}: `{MARK}'
    info.add_itxt("parameters", told)
    Image.new("RGB", (64, 64), "teal").save(file, "PNG", pnginfo=info)
    (message,) = said_in(await world.member.slash(world.channel, "inspect", image=("a.png", file.getvalue())))
    assert MARK in message.content
    harmless(world, message)
    assert len(message.content) <= 2000


async def test_such_a_message_of_somebody_else_would_mention_them(world: World) -> None:
    message = await world.moderator.send(world.channel, hostile(world))
    with pytest.raises(AssertionError):
        harmless(world, message)
    stored = world.env.backend.get_message(message.channel.id, message.id)
    assert stored.ping_role_ids
    assert world.stranger.id in stored.ping_user_ids


async def test_files_are_never_named_by_people(world: World) -> None:
    result = await world.member.slash(world.channel, "upscale", image=("SPOILER_named..by-people.png", picture()))
    message = await world.finished(public(result))
    harmless(world, message)
    (attachment,) = message.attachments
    assert re.fullmatch(r"limner-[0-9]+\.png", attachment.filename)
    folder = world.folder / "files"
    stored = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    assert stored
    assert all(
        len(part) in (2, 64) and set(part) <= set("0123456789abcdef") for path in stored for part in path.split("/")
    )
