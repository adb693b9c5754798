"""/settings: said once, meant for all orders; and the remix dialogs that it switches on."""

from __future__ import annotations

from typing import Any

import discord

from tests.bot.world import World, buttons, private, public


def menus(message: discord.Message) -> dict[str, Any]:
    """The menus of a panel by what they are for."""
    rows = [row for row in message.components if isinstance(row, discord.ActionRow)]
    selects = [child for row in rows for child in row.children if isinstance(child, discord.SelectMenu)]
    return {str(select.custom_id).rpartition(":")[2]: select for select in selects}


async def panel(world: World, **options: object) -> discord.Message:
    result = await world.member.slash(world.channel, "settings", **options)
    assert result.response is not None
    assert result.response.ephemeral
    return result.response.message


async def test_defaults_count_where_an_order_says_nothing(world: World) -> None:
    shown = await panel(world, style="INK", aspect="3:2", stylize=50)
    assert "Style: `ink`" in shown.content
    assert "Aspect: `3:2`" in shown.content
    message = await world.drawn("a red boat --n 1")
    assert "--style ink" in message.content
    assert "152×104" in message.content
    plain = await world.drawn("a red boat --n 1 --ar 1:1 --raw", by=world.member)
    assert "128×128" in plain.content
    assert "--style ink" not in plain.content
    other = await world.drawn("a red boat --n 1", by=world.stranger)
    assert "128×128" in other.content


async def test_the_panel_changes_and_forgets_and_outlives_a_restart(world: World) -> None:
    shown = await panel(world)
    assert shown.content.count("left to the server") == 4
    assert set(menus(shown)) == {"style", "aspect", "model", "stylize"}
    await world.restart()
    result = await world.member.select(shown, ["pastel"], custom_id="limner:set:style")
    assert result.response is not None
    world.clock.ahead += 5
    assert "Style: `pastel`" in (await panel(world)).content
    await world.member.click(shown, custom_id="limner:forget")
    assert (await panel(world)).content.count("left to the server") == 4


async def test_what_is_not_there_is_refused_in_one_sentence(world: World) -> None:
    for options, said in (
        ({"style": "inkk"}, "Did you mean `ink`?"),
        ({"model": "nothing"}, "There is no model"),
        ({"aspect": "9:1"}, "is no aspect ratio"),
        ({"model": "sdxl"}, "hf download"),
    ):
        assert said in private(await world.member.slash(world.channel, "settings", **options))


async def test_with_remix_a_press_asks_for_the_prompt(world: World) -> None:
    grid = await world.drawn("a red boat --n 2 --seed 7")
    await world.member.slash(world.channel, "settings", remix=True)
    asked = await world.press(grid, "V1")
    assert asked.modal is not None
    result = await world.member.submit_modal(asked, {"prompt": "a blue boat"})
    varied = await world.finished(public(result))
    assert "a blue boat" in varied.content
    assert "variations by" in varied.content
    job = await world.app.services.storage.jobs.get(2)
    assert job is not None
    assert job.recipes[0].prompt == "a blue boat"
    assert job.recipes[0].source is not None
    assert job.parent_image_id == 1


async def test_with_remix_again_and_pan_ask_too_and_survive_a_restart(world: World) -> None:
    single = await world.drawn("a red boat --n 1 --seed 7 --ar 3:2")
    await world.member.slash(world.channel, "settings", remix=True)
    asked = await world.press(single, "🔄")
    await world.restart()
    once_more = await world.finished(public(await world.member.submit_modal(asked, {"prompt": "a green house --n 1"})))
    assert "a green house" in once_more.content
    asked = await world.press(single, "➡️")
    panned = await world.finished(public(await world.member.submit_modal(asked, {"prompt": "a yellow cat"})))
    assert "a yellow cat" in panned.content
    job = await world.app.services.storage.jobs.get(3)
    assert job is not None
    assert job.recipes[0].source is not None
    assert job.recipes[0].source.frame is not None


async def test_a_bad_prompt_in_the_dialog_costs_nothing(world: World) -> None:
    grid = await world.drawn("a red boat --n 2")
    before = await world.credits()
    await world.member.slash(world.channel, "settings", remix=True)
    asked = await world.press(grid, "V1")
    assert "There is no flag" in private(await world.member.submit_modal(asked, {"prompt": "a boat --nonsense"}))
    assert await world.credits() == before


async def test_without_remix_nobody_is_asked(world: World) -> None:
    grid = await world.drawn("a red boat --n 2")
    assert (await world.press(grid, "V1")).modal is None
    assert len(buttons(grid)) == 7


async def test_relaxed_orders_cost_nothing_and_say_so(world: World) -> None:
    message = await world.drawn("a red boat --n 1 --relax")
    assert "relaxed, costs nothing" in message.content
    assert "100 credits left" in message.content
    shown = await panel(world, relax=True)
    assert "Relax is on" in shown.content
    message = await world.drawn("a red boat --n 2")
    assert "relaxed, costs nothing" in message.content
    varied = await world.finished(public(await world.press(message, "V1")))
    assert "relaxed, costs nothing" in varied.content
    assert await world.credits() == 100
    paid = await world.drawn("a red boat --n 1 --fast")
    assert "1 credit ·" in paid.content
    await world.member.click(shown, custom_id="limner:relax")
    assert "Relax is off" in (await panel(world)).content


async def test_a_relaxed_job_that_is_called_off_gives_nothing_back(world: World) -> None:
    world.app.services.dispatcher.pause(None)
    message = await world.imagine("a red boat --n 1 --relax")
    assert "relaxed, costs nothing" in message.content
    said = private(await world.press(message, "Cancel"))
    assert said == "Cancelled. It had cost nothing."


async def test_more_relaxed_jobs_than_may_wait_are_refused(world: World) -> None:
    world.app.services.dispatcher.pause(None)
    for _ in range(4):
        await world.imagine("a red boat --n 1 --relax")
    assert "You may have 4 relaxed jobs at a time: 4 of yours" in await world.refused("a red boat --n 1 --relax")
    question = await world.refused("a {red, blue} boat --n 1 --relax")
    assert "this would be 2 more" in question
