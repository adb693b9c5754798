"""Blocked words: refused before anything is charged, told to the member and to moderators, and to nobody else."""

from __future__ import annotations

from tests.bot.world import World, private


async def block(world: World, *words: str) -> None:
    for word in words:
        assert await world.app.services.storage.blocked_words.add(world.guild.id, word, by=1, at_most=100)


async def notes(world: World) -> list[tuple[int | None, int | None, dict[str, object]]]:
    entries = await world.app.services.storage.moderator_log.latest(world.guild.id, 10)
    return [(one.moderator_id, one.target_id, dict(one.details)) for one in entries if one.action == "words.refused"]


async def test_a_blocked_word_is_refused_in_private_and_noted(world: World) -> None:
    await block(world, "noodles")
    said = await world.refused("a bowl of n00dles on a table")
    assert said == "Prompts here may not hold the word `noodles`. Change the prompt; nothing was charged."
    assert await world.credits() == 100
    assert world.messages() == []
    assert await notes(world) == [
        (None, world.member.id, {"word": "noodles", "prompt": "a bowl of n00dles on a table"})
    ]


async def test_moderators_are_held_to_it_too(world: World) -> None:
    await block(world, "noodles")
    assert "noodles" in await world.refused("noodles", by=world.moderator)


async def test_what_shall_not_be_there_may_be_named(world: World) -> None:
    await block(world, "noodles")
    assert "Done in" in (await world.drawn("a boat --n 1 --no noodles")).content


async def test_each_of_several_prompts_is_looked_at(world: World) -> None:
    await block(world, "noodles")
    assert "noodles" in await world.refused("a bowl of {rice, noodles}")


async def test_buttons_are_no_way_around_it(world: World) -> None:
    message = await world.drawn("a bowl of noodles --n 1")
    await block(world, "noodles")
    for button in ("Vary (Subtle)", "Upscale (Subtle)", "Zoom Out 2x", "🔄"):
        assert "noodles" in private(await world.press(message, button)), button
    assert await world.credits() == 99


async def test_another_server_has_words_of_its_own(world: World) -> None:
    await world.app.services.storage.blocked_words.add(world.guild.id + 1, "noodles", by=1, at_most=100)
    await world.drawn("a bowl of noodles --n 1")


async def test_the_list_that_comes_with_it_counts_until_a_server_does_without(world: World) -> None:
    assert "lolicon" in await world.refused("l.o.l.i.c.o.n")
    await world.app.services.storage.blocked_words.use_defaults(world.guild.id, False, by=1)
    await world.imagine("l.o.l.i.c.o.n --n 1")


async def test_direct_messages_have_the_list_that_comes_with_it(world: World) -> None:
    said = private(await world.member.user.slash("imagine", prompt="lolicon"))
    assert "lolicon" in said


async def test_brackets_within_a_word_and_negative_parts_hide_nothing(world: World) -> None:
    await block(world, "noodles")
    for prompt in ("a boat, noo(dles:1.1)", "[noo]dles", "a boat --no fog::2 noodles::-1.5"):
        assert "noodles" in await world.refused(prompt), prompt
    await world.imagine("a boat --n 1 --no fog::2 noodles")
