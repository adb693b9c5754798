"""Pictures that people bring: good ones are drawn from, bad ones get one private sentence and cost nothing."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from pathlib import Path

import discord
import pytest
from PIL import Image
from simcord.results import InteractionResult

from bot.demo_cdn import DemoCdn
from bot.orders import Customer
from generation.job import Job, JobKind
from generation.picture import encode_png, read_recipe
from generation.recipe import Recipe
from tests.bot.world import PATIENCE, SETTINGS, World, labels, open_world, private, public

RED = (255, 0, 0)
OURS = Recipe(
    prompt="a (green:1.2) house", negative_prompt="people", model="elsewhere", width=64, height=64, seed=7,
    num_inference_steps=20, guidance_scale=4.5,
)  # fmt: skip


def saved(form: str, size: tuple[int, int] = (96, 64), **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, RED).save(file, form, **options)
    return file.getvalue()


def moving() -> bytes:
    return saved("PNG", save_all=True, append_images=[Image.new("RGB", (96, 64))])


def bomb() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(9000))) + chunk(b"IEND", b"")


GOOD = ("sea.png", saved("PNG"))


async def job_of(world: World, job_id: int = 1) -> Job:
    job = await world.app.services.storage.jobs.get(job_id)
    assert job is not None
    return job


async def posted(world: World, *, name: str = "sea.png", data: bytes = GOOD[1]) -> discord.Message:
    """A member's own message with a picture."""
    return await world.stranger.send(world.channel, "look", attachments=[(name, data)])


async def nothing_happened(world: World) -> None:
    assert await world.credits() == 100
    assert await world.app.services.storage.jobs.get(1) is None
    assert [message for message in world.messages() if message.author == world.app.client.user] == []


async def test_an_attached_picture_is_drawn_from_and_kept(world: World) -> None:
    message = await world.drawn("a boat --strength 0.3", image=("photo.jpg", saved("JPEG")))
    job = await job_of(world)
    (digest,) = {recipe.source.digest for recipe in job.recipes if recipe.source}
    assert {recipe.source.strength for recipe in job.recipes if recipe.source} == {0.3}
    assert job.recipes[0].width > job.recipes[0].height  # of the picture's shape
    kept = await world.app.services.storage.files.read(digest)
    assert kept is not None
    with Image.open(io.BytesIO(kept)) as source:
        assert (source.format, source.size) == ("PNG", (96, 64))
    assert "`a boat --strength 0.3`" in message.content
    assert await world.credits() == 100 - job.cost


async def test_the_usual_strength_and_a_shape_of_ones_own(world: World) -> None:
    await world.drawn("a boat --ar 2:3", image=GOOD)
    recipe = (await job_of(world)).recipes[0]
    assert recipe.source is not None
    assert recipe.source.strength == 0.6
    assert recipe.width < recipe.height


async def test_the_answer_is_one_public_message_even_though_it_takes_a_moment(world: World) -> None:
    result = await world.member.slash(world.channel, "imagine", prompt="a boat", image=GOOD)
    message = await world.finished(public(result))
    assert result.followups == []
    assert [found.id for found in world.messages()] == [message.id]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("sea.png", b"not a picture at all", "PNG, JPEG and WebP"),
        ("sea.gif", saved("GIF"), "PNG, JPEG and WebP"),
        ("film.mp4", b"\0\0\0\x18ftypmp42" + bytes(500), "PNG, JPEG and WebP"),
        ("empty.png", b"", "PNG, JPEG and WebP"),
        ("cut.png", GOOD[1][:80], "broken or cut off"),
        ("moving.png", moving(), "moves"),
        ("bomb.png", bomb(), "up to 50 megapixels"),
        ("large.png", GOOD[1] + bytes(20_000_000), "up to 20 MB"),
        ("strip.png", saved("PNG", (900, 90)), "up to 4 times as wide"),
    ],
)
async def test_a_bad_picture_gets_one_private_sentence_and_costs_nothing(
    world: World, name: str, data: bytes, said: str
) -> None:
    for command, options in (("imagine", {"prompt": "a boat"}), ("vary", {})):
        result = await world.member.slash(world.channel, command, image=(name, data), **options)
        assert said in private(result)
    await nothing_happened(world)


async def test_limits_are_those_of_the_settings(tmp_path: Path) -> None:
    settings = SETTINGS + "\n[limits]\nupload_megabytes = 1\nupload_pixels = 100_000\n"
    async with open_world(tmp_path, settings=settings) as world:
        assert "1 MB" in await world.refused("a boat", image=("a.png", GOOD[1] + bytes(1_000_000)))
        assert "megapixels" in await world.refused("a boat", image=("a.png", saved("PNG", (400, 300))))
        public(await world.member.slash(world.channel, "imagine", prompt="a boat", image=GOOD))


async def test_a_mistake_in_the_words_is_told_before_anything_is_fetched(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("fetched")

    monkeypatch.setattr(DemoCdn, "get", never)
    assert "--seed" in await world.refused("a boat --seeed 7", image=GOOD)
    await nothing_happened(world)


async def test_a_link_to_an_attachment_stands_for_it(world: World) -> None:
    message = await posted(world)
    url = message.attachments[0].url
    drawn = await world.drawn(f"{url} a boat --strength 0.5")
    job = await job_of(world)
    assert job.recipes[0].source is not None
    assert job.recipes[0].prompt == "a boat"
    assert "`a boat --strength 0.5`" in drawn.content


async def test_a_picture_alone_is_enough(world: World) -> None:
    message = await posted(world)
    drawn = await world.drawn(message.attachments[0].url)
    assert "`…`" in drawn.content
    assert (await job_of(world)).recipes[0].prompt == ""


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/boat.png",
        "http://evil.example/boat.jpg?x=1",
        "http://cdn.simcord.invalid/attachments/1/2/boat.png",
        "https://cdn.simcord.invalid.evil.example/attachments/1/2/boat.png",
        "https://cdn.simcord.invalid@evil.example/attachments/1/2/boat.png",
        "https://evil.example/https://cdn.simcord.invalid/attachments/1/2/boat",
        "https://user:secret@cdn.simcord.invalid/attachments/1/2/boat.png",
        "https://cdn.simcord.invalid:8443/attachments/1/2/boat.png",
        "https://cdn.simcord.invalid/avatars/1/2.png",
        "https://cdn.simcord.invalid/attachments/1/2/../../../boat.png",
        "https://cdn.simcord.invalid\\@evil.example/attachments/1/2/boat.png",
        "https://127.0.0.1/boat.png",
        "https://[::1]/attachments/1/2/boat.png",
        "<https://evil.example/boat.webp>",
    ],
)
async def test_other_places_are_never_asked(world: World, monkeypatch: pytest.MonkeyPatch, link: str) -> None:
    asked: list[str] = []
    monkeypatch.setattr(DemoCdn, "get", lambda self, url: asked.append(str(url)))
    assert "from Discord alone" in await world.refused(f"{link} a boat")
    assert asked == []
    await nothing_happened(world)


async def test_a_link_that_leads_nowhere_says_so(world: World) -> None:
    assert "no picture (any more)" in await world.refused("https://cdn.simcord.invalid/attachments/1/2/boat.png a boat")
    await nothing_happened(world)


async def test_one_picture_is_enough(world: World) -> None:
    url = (await posted(world)).attachments[0].url
    assert "more than one picture" in await world.refused(f"{url} a boat", image=GOOD)
    assert "more than one picture" in await world.refused(f"{url} {url} a boat")


def message_link(world: World, message: discord.Message, *, guild: object = None) -> str:
    return f"https://discord.com/channels/{guild or world.guild.id}/{message.channel.id}/{message.id}"


async def test_a_link_to_a_message_of_ours_is_the_stored_picture(world: World) -> None:
    single = await world.drawn("a boat --n 1")
    await world.drawn(f"{message_link(world, single)} a house")
    (image,) = await world.app.services.storage.images.of_job(1)
    job = await job_of(world, 2)
    assert job.recipes[0].source is not None
    assert job.recipes[0].source.digest == image.digest
    assert job.parent_image_id == image.id

    grid = await world.drawn("a boat")
    assert "several pictures" in await world.refused(f"{message_link(world, grid)} a house")


async def test_a_message_that_discord_does_not_show_now_may_be_shown_later(world: World) -> None:
    link = message_link(world, await posted(world))
    world.env.inject_error("GET", "/channels/*/messages/*", status=503)
    assert "Try again" in await world.refused(f"{link} a boat")


async def test_where_a_deferral_cannot_be_taken_back_the_sentence_is_told_all_the_same(world: World) -> None:
    world.env.inject_error("DELETE", "/webhooks/*/messages/@original", status=503, times=None)
    result = await world.member.slash(world.channel, "vary", image=("cut.png", GOOD[1][:80]))
    assert any("broken or cut off" in message.content for message in (result.response, *result.followups) if message)


async def test_messages_are_read_only_where_the_person_reads_them_too(world: World) -> None:
    hidden = world.guild.create_text_channel(
        "hidden", overwrites={world.member: discord.PermissionOverwrite(view_channel=False)}
    )
    secret = await world.moderator.send(hidden, "secret", attachments=[GOOD])
    open_message = await posted(world)
    elsewhere = world.env.create_guild("Elsewhere")
    foreign_channel = elsewhere.create_text_channel("pictures")
    foreign = await elsewhere.add_member(world.member.user).send(foreign_channel, "mine", attachments=[GOOD])
    for link in (
        message_link(world, secret),
        message_link(world, foreign, guild=elsewhere.id),
        message_link(world, foreign),  # with our server's number
        message_link(world, open_message).replace(str(open_message.id), "7"),
        f"https://discord.com/channels/@me/{world.channel.id}/{open_message.id}",
    ):
        assert "cannot read that message" in await world.refused(f"{link} a boat")
    await nothing_happened(world)
    # The same file by its own link, which Discord signs: whoever has it can see it.
    await world.drawn(f"{foreign.attachments[0].url} a boat")


async def test_a_link_to_a_message_of_others_is_its_picture(world: World) -> None:
    await world.drawn(f"{message_link(world, await posted(world))} a boat")
    source = (await job_of(world)).recipes[0].source
    assert source is not None
    assert await world.app.services.storage.files.exists(source.digest)
    silent = await world.stranger.send(world.channel, "no picture")
    assert "no finished picture in that message" in await world.refused(f"{message_link(world, silent)} a boat")


async def test_a_picture_of_a_private_channel_is_not_ours_to_give_by_its_file(world: World) -> None:
    """Bytes that equal a picture of another server are an upload like any other."""
    single = await world.drawn("a boat --n 1")
    elsewhere = world.env.create_guild("Elsewhere")
    channel = elsewhere.create_text_channel("pictures")
    member = elsewhere.add_member(world.stranger.user)
    result = await member.slash(channel, "vary", image=("a.png", world.bytes_of(single)))
    public(result)
    job = await job_of(world, 2)
    assert job.parent_image_id is None
    here = await world.stranger.slash(world.channel, "vary", image=("a.png", world.bytes_of(single)))
    await world.finished(public(here))
    assert (await job_of(world, 3)).parent_image_id == 1


async def test_vary_without_words_takes_those_that_the_file_carries(world: World) -> None:
    ours = encode_png(Image.new("RGB", (96, 64), RED), OURS)
    message = await world.finished(public(await world.member.slash(world.channel, "vary", image=("a.png", ours))))
    job = await job_of(world)
    assert (job.kind, len(job.recipes)) == (JobKind.VARIATIONS, 4)
    assert (job.recipes[0].prompt, job.recipes[0].negative_prompt) == ("a (green:1.2) house", "people")
    assert job.recipes[0].model == "pocket"
    assert labels(message)[5:9] == ["V1", "V2", "V3", "V4"]

    await world.finished(
        public(await world.member.slash(world.channel, "vary", image=("a.png", ours), prompt="a tree --n 2"))
    )
    job = await job_of(world, 2)
    assert [recipe.prompt for recipe in job.recipes] == ["a tree"] * 2


@pytest.mark.parametrize("prompt", ["x " * 3000, "a --explode", "a:: b::-2", "a --style nobody"])
async def test_words_in_a_file_that_nobody_could_type_are_none(world: World, prompt: str) -> None:
    forged = Recipe(
        prompt=prompt, model="pocket", width=64, height=64, seed=1, num_inference_steps=240, guidance_scale=20
    )
    data = encode_png(Image.new("RGB", (96, 64), RED), forged)
    await world.finished(public(await world.member.slash(world.channel, "vary", image=("a.png", data))))
    job = await job_of(world)
    assert job.recipes[0].prompt == ""
    assert job.recipes[0].num_inference_steps < 60


async def test_vary_takes_a_strength_of_its_own_or_by_flag_but_not_both(world: World) -> None:
    await world.finished(public(await world.member.slash(world.channel, "vary", image=GOOD, strength=0.2)))
    recipe = (await job_of(world)).recipes[0]
    assert recipe.source is not None
    assert recipe.source.strength == 0.2
    both = await world.member.slash(world.channel, "vary", image=GOOD, prompt="a --strength 0.3", strength=0.2)
    assert "--strength" in private(both)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [("a {red, blue} boat", "braces"), ("a boat --repeat 3", "--repeat"), ("a boat --hires 1.5", "--hires")],
)
async def test_vary_is_one_job(world: World, prompt: str, said: str) -> None:
    assert said in private(await world.member.slash(world.channel, "vary", image=GOOD, prompt=prompt))
    await nothing_happened(world)


async def test_a_members_defaults_count_for_words_that_they_typed(world: World) -> None:
    await world.app.services.orders.defaults.change(world.member.id, style="ink", aspect="1:2")
    await world.finished(public(await world.member.slash(world.channel, "vary", image=GOOD, prompt="a boat")))
    job = await job_of(world)
    assert job.style == "ink"
    assert job.recipes[0].width > job.recipes[0].height
    ours = encode_png(Image.new("RGB", (96, 64), RED), OURS)
    await world.finished(public(await world.member.slash(world.channel, "vary", image=("a.png", ours))))
    assert (await job_of(world, 2)).style is None


@pytest.mark.parametrize("kind", ["subtle", "creative"])
async def test_upscale_doubles_an_uploaded_picture(world: World, kind: str) -> None:
    result = await world.member.slash(world.channel, "upscale", image=("a.png", saved("PNG", (90, 60))), kind=kind)
    message = await world.finished(public(result))
    recipe = read_recipe(world.bytes_of(message))
    assert recipe is not None
    assert (recipe.width, recipe.height) == (176, 128)  # the nearest multiples of 8, doubled
    assert (await job_of(world)).kind == f"upscale_{kind}"
    too_large = await world.member.slash(world.channel, "upscale", image=("a.png", saved("PNG", (900, 600))))
    assert "as large as I can make it" in private(too_large)


async def test_one_persons_pictures_take_turns_and_keep_nobody_else_waiting(world: World) -> None:
    """At most one of theirs is in memory at a time."""
    ada, bob = (customer_with(world, member.id) for member in (world.member, world.stranger))
    uploads = world.app.services.uploads
    async with uploads.turn(ada):
        async with asyncio.timeout(PATIENCE), uploads.turn(bob):
            pass
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), uploads.turn(ada):
                raise AssertionError
    async with asyncio.timeout(PATIENCE), uploads.turn(ada):
        pass


def customer_with(world: World, user_id: int) -> Customer:
    return Customer(user_id=user_id, guild_id=world.guild.id, channel_id=world.channel.id)


async def menu(world: World, name: str, message: discord.Message) -> InteractionResult:
    return await world.member.context_menu(world.channel, name, message)


async def test_the_menus_work_on_anybodys_picture(world: World) -> None:
    message = await posted(world)
    await world.finished(public(await menu(world, "Vary", message)))
    assert (await job_of(world)).kind is JobKind.VARIATIONS
    await world.finished(public(await menu(world, "Upscale", message)))
    assert (await job_of(world, 2)).kind is JobKind.UPSCALE_SUBTLE

    silent = await world.stranger.send(world.channel, "no picture")
    assert "no finished picture" in private(await menu(world, "Vary", silent))
    film = await world.stranger.send(world.channel, "film", attachments=[("film.mp4", b"film")])
    assert "no finished picture" in private(await menu(world, "Upscale", film))


async def test_the_menus_take_our_own_pictures_from_storage(world: World) -> None:
    single = await world.drawn("a boat --n 1")
    await world.finished(public(await menu(world, "Vary", single)))
    assert (await job_of(world, 2)).parent_image_id == 1
    await world.finished(public(await menu(world, "Upscale", single)))
    assert (await job_of(world, 3)).parent_image_id == 1


async def test_the_menus_ask_which_picture_of_a_grid_is_meant(world: World) -> None:
    grid = await world.drawn("a boat")
    asked = await menu(world, "Upscale", grid)
    assert "Which" in private(asked)
    assert asked.response is not None
    assert labels(asked.response.message) == ["1", "2", "3", "4"]
    await world.finished(public(await world.member.click(asked.response, label="3")))
    images = await world.app.services.storage.images.of_job(1)
    assert (await job_of(world, 2)).parent_image_id == images[2].id


async def test_what_is_still_being_drawn_is_no_picture_yet(world: World) -> None:
    message = await world.imagine(f"a boat {world.held}")
    await world.until(lambda: world.now(message).attachments)
    assert "no finished picture" in private(await menu(world, "Vary", world.now(message)))


async def test_a_restart_in_between_does_not_matter(tmp_path: Path) -> None:
    """The order stands with our own copy: neither Discord's file nor the first program is needed for it."""
    async with open_world(tmp_path, working=False) as world:
        message = public(await world.member.slash(world.channel, "imagine", prompt="a boat", image=GOOD))
        world.env.backend.cdn._blobs.clear()
        await world.restart()
        await world.finished(message)
        again = public(await world.press(message, "🔄"))
        await world.finished(again)
        first, second = await job_of(world), await job_of(world, 2)
        assert first.recipes[0].source == second.recipes[0].source


async def test_it_works_in_direct_messages(world: World) -> None:
    message = public(await world.member.user.slash("vary", image=GOOD))
    channel = world.member.user.dm_channel
    await world.until(lambda: "Done in" in world.messages(channel)[-1].content)
    assert world.messages(channel)[-1].id == message.id


async def test_who_may_not_write_there_is_told_before_anything_is_fetched(world: World) -> None:
    reader = world.guild.create_role("Readers")
    readonly = world.guild.create_text_channel(
        "gallery", overwrites={reader: discord.PermissionOverwrite(send_messages=False)}
    )
    visitor = world.guild.add_member(world.env.create_user("vi"), roles=[reader])
    result = await visitor.slash(readonly, "vary", image=("a.png", b"broken"))
    assert "may not write" in private(result)
