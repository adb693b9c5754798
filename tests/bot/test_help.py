"""/help, /styles, /loras and /models: everything is in them, page by page, with pictures."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path

import discord
import pytest
from PIL import Image
from simcord.actors import MemberActor

from bot.flag_values import RAW
from bot.listings import LONGEST, in_portions
from generation.catalogue import LoraSpec, Style
from tests.bot.world import World, buttons, open_world, public


@pytest.fixture
async def quiet(tmp_path: Path) -> AsyncIterator[World]:
    """A world in which orders are taken and nothing is drawn."""
    async with open_world(tmp_path, working=False) as world:
        yield world


async def opened(world: World, command: str, by: MemberActor | None = None) -> discord.Message:
    """The first page, which only the person sees."""
    result = await (by or world.member).slash(world.channel, command)
    [said] = [message for message in (result.response, *result.followups) if message is not None]
    assert said.ephemeral
    return said.message


def arrows(message: discord.Message) -> dict[str, str]:
    """The buttons that turn a page: where each leads."""
    return {str(button.emoji): str(button.custom_id) for button in buttons(message)}


def now(world: World, message: discord.Message, by: MemberActor) -> discord.Message:
    """The message as its person sees it now."""
    return next(found for found in world.channel.history(viewer=by) if found.id == message.id)


async def turned(world: World, message: discord.Message, arrow: str, by: MemberActor | None = None) -> discord.Message:
    """The same message, turned."""
    person = by or world.member
    world.clock.ahead += 5
    await person.click(message, custom_id=arrows(message)[arrow])
    return now(world, message, person)


async def every_page(world: World, command: str, by: MemberActor | None = None) -> list[discord.Message]:
    """All pages, as ▶ leads to them."""
    pages = [await opened(world, command, by)]
    while "▶️" in arrows(pages[-1]):
        pages.append(await turned(world, pages[-1], "▶️", by))
    return pages


def sheet_of(world: World, message: discord.Message) -> Image.Image:
    """The example pictures of a page."""
    return Image.open(io.BytesIO(world.bytes_of(message)))


def menu_of(message: discord.Message) -> discord.SelectMenu:
    rows = [row for row in message.components if isinstance(row, discord.ActionRow)]
    [menu] = [child for row in rows for child in row.children if isinstance(child, discord.SelectMenu)]
    return menu


async def test_help_tells_of_every_flag_and_every_command_that_is_for_the_person(quiet: World) -> None:
    tree = quiet.app.client.tree
    commands = tree.get_commands(type=discord.AppCommandType.chat_input)
    for_moderators = {
        command.name
        for command in commands
        if command.default_permissions == discord.Permissions(moderate_members=True)
    }
    assert "quota" in for_moderators
    for person in (quiet.member, quiet.moderator):
        pages = await every_page(quiet, "help", person)
        text = "\n".join(page.content for page in pages)
        assert all(len(page.content) <= 2000 for page in pages)
        assert all(f"`--{flag.name}`" in text for flag in quiet.app.services.orders.parser.flags)
        seen = {command.name for command in commands if f"`/{command.name}`:" in text or f"`/{command.name} " in text}
        hidden = {command.name for command in commands if command.default_permissions is not None}
        hidden -= for_moderators if person is quiet.moderator else set()
        assert seen == {command.name for command in commands} - hidden
        assert "`Recipe`" in text
        titles = [page.content.splitlines()[0] for page in pages]
        assert len(set(titles)) == len(titles) > 6


async def test_help_in_a_direct_message_leaves_out_what_is_for_servers(quiet: World) -> None:
    result = await quiet.moderator.user.slash("help")
    [said] = [message for message in (result.response, *result.followups) if message is not None]
    options = menu_of(said.message).options
    assert options[-1].label == "Commands"
    await quiet.moderator.user.select(said.message, [options[-1].value], custom_id="limner:pages:help")
    shown = quiet.moderator.user.dm_channel.history(viewer=quiet.moderator.user)
    text = next(found.content for found in shown if found.id == said.message.id)
    assert "`/imagine`" in text
    assert "`/quota" not in text


async def test_helps_pages_can_be_turned_back_and_chosen_by_title(quiet: World) -> None:
    first = await opened(quiet, "help")
    assert "`/imagine a red boat on the sea --seed 7 --n 1`" in first.content
    assert sheet_of(quiet, first).width > 500
    assert "◀️" not in arrows(first)
    second = await turned(quiet, first, "▶️")
    assert second.attachments == []  # flags have no pictures
    again = await turned(quiet, second, "◀️")
    assert again.content == first.content
    assert len(again.attachments) == 1
    menu = menu_of(again)
    credits = next(option for option in menu.options if option.label == "Credits and the queue")
    await quiet.member.select(again, [credits.value], custom_id=menu.custom_id)
    chosen = now(quiet, first, quiet.member)
    assert "Credits and the queue" in chosen.content
    assert "▶️" in arrows(chosen)


async def test_a_page_is_turned_after_a_restart_too(quiet: World) -> None:
    message = await opened(quiet, "styles")
    await quiet.stop()
    await quiet.start()
    assert (await turned(quiet, message, "▶️")).content != message.content


async def test_all_styles_are_listed_with_pictures_of_those_that_the_pocket_model_knows(quiet: World) -> None:
    styles = quiet.app.services.catalogue.styles
    pages = await every_page(quiet, "styles")
    text = "\n".join(page.content for page in pages)
    assert all(f"`{style.name}`: {style.description}" in text for style in styles.values())
    assert "`raw`" in text
    assert [option.value for page in pages for option in menu_of(page).options] == [RAW, *styles]
    assert [len(page.attachments) for page in pages] == [1, 0]
    # Four pictures of the first page's styles: raw, ink, pastel, pixel, in rows of three.
    sheet = sheet_of(quiet, pages[0])
    assert sheet.width > sheet.height


async def test_an_example_is_ordered_with_what_is_chosen(world: World) -> None:
    message = await opened(world, "styles")
    result = await world.member.select(message, ["ink"], custom_id=menu_of(message).custom_id)
    drawn = await world.finished(public(result))
    assert "a red boat on the sea --style ink --n 1" in drawn.content
    assert await world.credits() == 99


async def test_loras_are_listed_with_what_they_say_of_themselves_and_cannot_break_the_message(quiet: World) -> None:
    pages = await every_page(quiet, "loras")
    text = "\n".join(page.content for page in pages)
    for name, lora in quiet.app.services.catalogue.offered_loras().items():
        assert f"`{name}`" in text
        assert not lora.trigger or f"puts `{lora.trigger}` before your words" in text
        assert "for `pocket`" in text
    assert "pocket-lcm" not in text  # it is behind --draft
    assert len(pages[0].attachments) == 1

    odd = LoraSpec(name="odd", path=Path("odd"), title="` @everyone **x**", trigger="`", cross_attention_dim=768)
    quiet.app.services.catalogue.loras["odd"] = odd  # type: ignore[index]
    said = (await opened(quiet, "loras")).content
    assert "`odd`: `ˋ @everyone **x**` · puts `ˋ` before your words · for –" in said


async def test_models_are_listed_with_what_they_can_do(quiet: World) -> None:
    [page] = await every_page(quiet, "models")
    assert "`pocket`: draws unless you name another · 128×128 or that area, 20 steps · takes `--draft`" in page.content
    assert "`sdxl`: 1024×1024 or that area, 30 steps · not on this machine yet" in page.content
    assert len(page.attachments) == 1


async def test_where_there_is_nothing_to_list_it_is_said(quiet: World) -> None:
    services = quiet.app.services
    services.catalogue.loras.clear()  # type: ignore[attr-defined]
    message = await opened(quiet, "loras")
    assert message.content.startswith("There are no LoRAs here.")
    assert message.components == []


async def test_what_the_operators_wrote_is_no_markdown(quiet: World) -> None:
    odd = Style(name="odd", template="{prompt}", description="**bold** [a](http://b) @everyone")
    quiet.app.services.catalogue.styles["odd"] = odd  # type: ignore[index]
    text = "\n".join(page.content for page in await every_page(quiet, "styles"))
    assert r"`odd`: \*\*bold\*\* \[a](http://b) @everyone" in text


async def test_a_list_that_became_shorter_shows_its_last_page(quiet: World) -> None:
    message = await opened(quiet, "styles")
    for name in list(quiet.app.services.catalogue.styles)[3:]:
        del quiet.app.services.catalogue.styles[name]  # type: ignore[attr-defined]
    last = await turned(quiet, message, "▶️")
    assert "page 1 of 1" in last.content


def test_lines_are_portioned_by_number_and_by_length() -> None:
    assert in_portions(["a", "b", "c"], most=2) == [["a", "b"], ["c"]]
    assert in_portions(["a" * 10, "b" * 10], room=20) == [["a" * 10], ["b" * 10]]
    assert in_portions(["a" * 30], room=20) == [["a" * 19 + "…"]]
    assert in_portions([]) == [[]]
    assert max(len("\n".join(portion)) for portion in in_portions(["x" * 300] * 40)) <= LONGEST


def test_every_style_of_the_shipped_file_that_the_pocket_model_knows_has_an_example() -> None:
    from bot.config import PROGRAM_FOLDER
    from bot.examples import examples
    from generation.styles import load_styles

    known = {
        f"style-{style.name}"
        for style in load_styles(PROGRAM_FOLDER / "generation/styles.toml").values()
        if style.pocket
    }
    assert known == {name for name in examples() if name.startswith("style-")}
