"""/imagine, from the order to the pictures; and what it says to orders that cannot be taken."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from bot.commands.autocompletion import choices
from generation.job import JobStatus
from generation.picture import read_recipe
from tests.bot.world import SETTINGS, World, labels, open_world, private, public


async def test_an_order_becomes_a_grid_of_four(tmp_path: Path) -> None:
    async with open_world(tmp_path, working=False) as world:
        message = await world.imagine("a red boat on the sea --ar 3:2 --seed 7 --style ink")
        assert "Queued" in message.content
        assert "4 credits" in message.content
        assert labels(message) == ["Cancel"]

        await world.work()
        message = await world.finished(message)
        assert "`a red boat on the sea --ar 3:2 --seed 7 --style ink`" in message.content
        assert "seed 7" in message.content
        assert "96 credits left" in message.content
        assert labels(message) == ["U1", "U2", "U3", "U4", "🔄", "V1", "V2", "V3", "V4", "📋", "🗑️"]
        with Image.open(io.BytesIO(world.bytes_of(message))) as grid:
            assert grid.format == "PNG"
            assert f"{grid.width // 2}×{grid.height // 2}" in message.content
        assert world.messages() == [message]
        await world.all_told()
        assert await world.credits() == 96


async def test_options_and_flags_fill_the_same_fields(world: World) -> None:
    message = await world.drawn("a boat", aspect="2:3", seed=11, style="ink", negative="people", count=2)
    recipe = read_recipe(world.bytes_of(message))
    assert recipe is not None
    assert recipe.seed == 11
    assert recipe.width < recipe.height
    assert "people" in recipe.negative_prompt
    assert labels(message) == ["U1", "U2", "🔄", "V1", "V2", "📋", "🗑️"]


async def test_a_single_picture_is_its_stored_file_with_its_own_buttons(world: World) -> None:
    message = await world.drawn("a boat --n 1")
    (image,) = await world.app.services.storage.images.of_job(1)
    assert world.bytes_of(message) == await world.app.services.storage.images.png(image)
    assert labels(message) == [
        "Upscale (Subtle)",
        "Upscale (Creative)",
        "Vary (Subtle)",
        "Vary (Strong)",
        "Vary (Region)",
        "🔄",
        "Zoom Out 1.5x",
        "Zoom Out 2x",
        "Custom Zoom",
        *("⬅️", "➡️", "⬆️", "⬇️"),
        *("❤️", "📋", "🗑️"),
    ]


async def test_a_preview_with_percent_comes_before_the_pictures(world: World) -> None:
    message = await world.imagine(f"a {world.held} boat --steps 40")
    await world.begun(message)
    assert world.now(message).attachments[0].filename == "preview.jpg"
    with Image.open(io.BytesIO(world.bytes_of(world.now(message)))) as preview:
        assert preview.format == "JPEG"
    assert labels(world.now(message)) == ["Cancel"]


async def test_who_waits_is_told_their_place(world: World) -> None:
    await world.begun(await world.imagine(f"a {world.held} boat --steps 60"))
    second = await world.imagine("a house --steps 9", by=world.stranger)
    third = await world.imagine("a tree --steps 8")
    assert "you are next" in second.content or "number" in second.content
    assert "number" in third.content


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        ("a boat --seeed 7", "--seed"),
        ("a boat --seed -1", "--seed"),
        ("a boat --seed 4294967296", "4294967295"),
        ("a boat --seed 1 --seed 2", "--seed"),
        ("a boat --ar 5:1", "1:4"),
        ("a boat --ar wide", "--ar"),
        ("a boat --n 5", "1 … 4"),
        ("a boat --steps 61", "60"),
        ("a boat --cfg 21", "20"),
        ("a boat --style inc", "ink"),
        ("a boat --lora nobody", "nobody"),
        ("a boat --lora x:3", "-2 … 2"),
        ("a boat --ar", "--ar"),
        ("--ar 3:2", "nothing but flags"),
        ("boat " * 500, "2000"),
    ],
)
async def test_a_mistake_is_named_and_nothing_is_queued(world: World, prompt: str, named: str) -> None:
    assert named in await world.refused(prompt)
    assert world.messages() == []
    assert await world.app.services.storage.jobs.get(1) is None


async def test_sampling_flags_are_in_the_picture_and_in_its_price(world: World) -> None:
    prompt = "a (red:1.2) boat:: sea --sampler heun --chaos 50 --weird 7 --stop 80 --tile --q 2 --hires 1.5 --n 2"
    await world.drawn(prompt, model="pocket")
    job = await world.app.services.storage.jobs.get(1)
    assert job is not None
    first, second = job.recipes
    assert first.prompt == "a (red:1.2) boat:: sea"
    assert (first.scheduler, first.weird, first.stop, first.tile) == ("heun", 7, 0.8, True)
    assert (first.num_inference_steps, first.width, first.height) == (40, 192, 192)
    assert (second.shared_seed, second.shared_noise) == (first.seed, 0.3)
    assert await world.credits() == 100 - job.cost
    assert job.cost == 7  # for each: 40 steps at 128², then 12 of 14 more at 192²


async def test_a_model_whose_weights_are_not_here_is_refused_with_what_gets_them(world: World) -> None:
    refused = await world.refused("a boat --model sdxl")
    assert "hf download stabilityai/stable-diffusion-xl-base-1.0" in refused
    assert await world.refused("a {red, blue} boat", model="sdxl") == refused
    assert "There is no model `sdlx`. Did you mean `sdxl`?" in await world.refused("a boat --model sdlx")
    assert await world.credits() == 100


async def test_a_refiner_whose_weights_are_not_here_is_refused_with_what_gets_them(tmp_path: Path) -> None:
    settings = SETTINGS + '\n[models.pocket]\nrefiner = "nobody/refiner"\n'
    async with open_world(tmp_path, settings=settings) as world:
        refused = await world.refused("a boat --refine 0.2")
        assert "`pocket refiner` is not on this machine" in refused
        assert "hf download nobody/refiner" in refused


async def test_a_flag_against_its_option_is_refused(world: World) -> None:
    assert "--seed" in await world.refused("a boat --seed 1", seed=2)


async def test_who_has_no_credits_is_told_cost_rest_and_renewal(world: World) -> None:
    await world.moderator.slash(world.channel, "quota set", user=world.member, credits=3)
    sentence = await world.refused("a boat")
    assert "costs 4" in sentence
    assert "3 left" in sentence
    assert "<t:" in sentence
    assert world.messages() == []
    assert await world.credits() == 3


async def test_moderators_are_not_limited_and_not_told_what_is_left(world: World) -> None:
    message = await world.drawn("a boat", by=world.moderator)
    assert "left" not in message.content


async def test_no_more_jobs_at_once_than_allowed(world: World) -> None:
    for _ in range(10):
        await world.imagine(f"a {world.held} boat --n 1")
    assert "10 of 10" in await world.refused("a boat")
    await world.imagine("a boat", by=world.stranger)


@pytest.mark.parametrize(
    "prompt",
    ["@everyone <@&1> a boat", "<@{stranger}> a boat", "`@everyone` ``` a ```boat", "[boat](http://evil) https://evil"],
)
async def test_nothing_that_people_type_is_a_mention_or_a_link(world: World, prompt: str) -> None:
    prompt = prompt.replace("{stranger}", str(world.stranger.id))
    message = await world.drawn(prompt)
    assert not message.mention_everyone
    stored = world.env.backend.get_message(world.channel.id, message.id)
    assert stored.ping_user_ids == []
    assert stored.ping_role_ids == []
    before, _, after = message.content.partition(prompt.replace("`", "ˋ"))
    assert before.endswith("`")
    assert after.startswith("`")


async def test_it_works_in_direct_messages(world: World) -> None:
    result = await world.member.user.slash("imagine", prompt="a boat")
    message = public(result)
    channel = world.member.user.dm_channel
    await world.until(lambda: "Done in" in world.messages(channel)[-1].content)
    assert world.messages(channel)[-1].id == message.id


async def test_where_they_are_not_wanted_direct_messages_take_no_orders(tmp_path: Path) -> None:
    async with open_world(
        tmp_path, settings=SETTINGS + "\n[limits]\ndirect_messages = false\n", working=False
    ) as world:
        said = private(await world.member.user.slash("imagine", prompt="a boat"))
        assert said == "I take no orders in direct messages: draw in a server that I am in."
        assert await world.app.services.storage.jobs.waiting() == []
        assert "Queued" in (await world.imagine("a boat")).content


async def test_autocomplete_searches_all_styles_prefix_first(world: World) -> None:
    async def offered(typed: str) -> list[str]:
        found = await world.member.autocomplete(world.channel, "imagine", "style", typed)
        return [choice["value"] for choice in found]

    everything = await offered("")
    assert len(everything) <= 25
    assert "ink" in await offered("in")
    assert (await offered("in"))[0].startswith("in")
    assert await offered("no such style anywhere") == []
    assert "raw" in await offered("ra")


async def test_autocomplete_knows_the_models(world: World) -> None:
    found = await world.member.autocomplete(world.channel, "imagine", "model", "S")
    assert [choice["value"] for choice in found] == ["sdxl"]


async def test_autocomplete_reaches_beyond_the_first_25_and_keeps_the_weight(world: World) -> None:
    names = {f"style-{number:03}": "" for number in range(60)} | {"a-style-059": ""}
    assert [choice.value for choice in choices(names, "059")] == ["style-059", "a-style-059"]
    assert [choice.value for choice in choices(names, "STYLE-059")] == ["style-059", "a-style-059"]
    assert len(choices(names, "style")) == 25
    assert choices(names, "style-01", ending=":0.5")[0].value == "style-010:0.5"


async def test_queue_lists_ones_own_jobs_and_cancels_them(world: World) -> None:
    await world.begun(await world.imagine(f"a boat {world.held} --steps 60"))
    await world.imagine("a house --steps 59")
    await world.imagine("a tree", by=world.stranger)
    result = await world.member.slash(world.channel, "queue")
    listed = private(result)
    assert "a boat" in listed
    assert "a house" in listed
    assert "a tree" not in listed
    assert result.response is not None
    assert len(labels(result.response.message)) == 2

    await world.member.click(result.response, label="2")
    assert "Cancelled" in world.messages()[1].content or "Queued" in world.messages()[1].content
    await world.until(lambda: "Cancelled" in world.messages()[1].content)


async def test_an_empty_queue_says_so(world: World) -> None:
    assert "nothing" in private(await world.member.slash(world.channel, "queue"))


async def test_info_tells_credits_and_jobs(world: World) -> None:
    await world.drawn("a boat")
    told = private(await world.member.slash(world.channel, "info"))
    assert "96" in told
    assert "of 100 a day" in told
    assert "Finished so far: 1" in told
    assert "not limited" in private(await world.moderator.slash(world.channel, "info"))


async def test_the_same_interaction_delivered_twice_is_one_order(world: World) -> None:
    payloads: list[object] = []
    world.env.backend.subscribers.append(
        lambda event, payload: payloads.append(payload) if event == "INTERACTION_CREATE" else None
    )
    message = await world.imagine("a boat --n 1")
    world.env.backend.emit("INTERACTION_CREATE", payloads[0])  # type: ignore[arg-type]
    await world.env.settle()
    await world.finished(message)
    assert len(world.messages()) == 1
    assert await world.credits() == 99
    assert await world.app.services.storage.jobs.get(2) is None


async def test_a_job_that_cannot_be_painted_is_told_and_refunded(world: World) -> None:
    message = await world.imagine("a broken boat")
    await world.until(lambda: "given back" in world.now(message).content)
    assert labels(world.now(message)) == []
    assert await world.credits() == 100
    job = await world.app.services.storage.jobs.get(1)
    assert job is not None
    assert job.status is JobStatus.FAILED


async def test_no_commands_are_synced_twice(world: World) -> None:
    def puts() -> int:
        return sum(entry.method == "PUT" for entry in world.env.http_requests)

    before = puts()
    await world.restart()
    assert puts() == before
