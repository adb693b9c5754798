"""/imagine, from the order to the pictures."""

from __future__ import annotations

import io

from PIL import Image

from tests.bot.world import World, labels


async def test_an_order_becomes_a_grid_of_four(world: World) -> None:
    message = await world.imagine("a red boat on the sea --ar 3:2 --seed 7")
    assert "Queued" in message.content
    assert "4 credits" in message.content
    assert labels(message) == ["Cancel"]

    message = await world.finished(message)
    assert "`a red boat on the sea --ar 3:2 --seed 7`" in message.content
    assert "seed 7" in message.content
    assert "96 credits left" in message.content
    assert labels(message) == ["U1", "U2", "U3", "U4", "🔄", "V1", "V2", "V3", "V4"]
    with Image.open(io.BytesIO(world.bytes_of(message))) as grid:
        assert grid.format == "PNG"
        assert f"{grid.width // 2}×{grid.height // 2}" in message.content
    assert len(world.messages()) == 1
