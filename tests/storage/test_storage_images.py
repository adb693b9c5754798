"""Images are found again by their file and by their recipe, where the person may see them, with what they came from."""

from __future__ import annotations

from storage_samples import ANNA, BEN, HARBOUR, ORCHARD, WORKER, Clock, leased, pictures, recipe

from generation.recipe import Source
from storage.images import Image
from storage.storage import Storage


async def drawn(storage: Storage, clock: Clock, **changes: object) -> list[Image]:
    job = await leased(storage, clock, **changes)
    await storage.jobs.finish(job.id, worker=WORKER, pictures=pictures())
    return list(await storage.images.of_job(job.id))


async def test_an_image_is_found_by_its_file_and_by_its_recipe(storage: Storage, clock: Clock) -> None:
    _, second = await drawn(storage, clock)
    assert await storage.images.by_file(second.digest, user_id=BEN, guild_id=HARBOUR) == second
    assert await storage.images.by_recipe(recipe(seed=8), user_id=BEN, guild_id=HARBOUR) == second
    assert await storage.images.by_recipe(recipe(seed=9), user_id=BEN, guild_id=HARBOUR) is None
    assert await storage.images.by_file(second.digest, user_id=ANNA, guild_id=ORCHARD) is None
    assert await storage.images.by_file(second.digest, user_id=ANNA, guild_id=None) is None


async def test_images_of_direct_messages_are_their_persons_alone(storage: Storage, clock: Clock) -> None:
    first, _ = await drawn(storage, clock, guild_id=None)
    assert await storage.images.by_file(first.digest, user_id=ANNA, guild_id=None) == first
    assert await storage.images.by_recipe(recipe(), user_id=BEN, guild_id=None) is None


async def test_the_line_of_descent_goes_back_to_the_first(storage: Storage, clock: Clock) -> None:
    line = (await drawn(storage, clock))[:1]
    for strength in (0.2, 0.4):
        made = recipe(source=Source(digest=line[0].digest, strength=strength))
        line.insert(0, (await drawn(storage, clock, recipes=(made, made), parent_image_id=line[0].id))[0])
    assert list(await storage.images.descent(line[0])) == line[1:]
    assert await storage.images.descent(line[-1]) == []
