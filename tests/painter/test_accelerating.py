"""What makes the UNet faster: pictures stay alike, nothing is on by default, and what a device cannot do is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, _cur_sdpa_kernel_backends

from generation.aspect import BUCKETS
from generation.catalogue import ModelSpec
from generation.engine.settings import PainterSettings
from generation.errors import SettingRefused
from generation.painter.acceleration import choose_acceleration
from generation.painter.compiling import Bounds, compile_unet
from generation.painter.devices import choose_placement
from generation.painter.guidance import guided_steps
from generation.painter.models import load_model
from generation.painter.painter import Painter
from generation.painter.precision import in_fp8, set_numbers, to_fp8, unrounded
from generation.painter.seamless import seamless
from generation.recipe import LoraUse, Source
from tests.painter.lora_files import save_lora
from tests.painter.tiny_sdxl import build_pipeline, build_refiner, distance, paint, recipe, spec_for

CUDA = torch.device("cuda")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def ending(tiny: ModelSpec) -> Painter:
    """A painter whose guidance ends at half of the steps."""
    painter = Painter(PainterSettings(device="cpu", guided_share=0.5))
    painter.load(tiny)
    return painter


def refusal(settings: PainterSettings, device: torch.device, dtype: torch.dtype = torch.bfloat16) -> tuple[str, str]:
    with pytest.raises(SettingRefused) as caught:
        choose_acceleration(settings, device, dtype)
    return str(caught.value.fields["setting"]), str(caught.value.fields["reason"])


@contextmanager
def seen_by(unet: Any, look: Callable[[torch.Tensor], object]) -> Iterator[list[object]]:
    """What `look` makes of the latents that the UNet is given, call by call."""
    seen: list[object] = []
    hook = unet.conv_in.register_forward_pre_hook(lambda module, inputs: seen.append(look(inputs[0])))
    try:
        yield seen
    finally:
        hook.remove()


class TestByDefault:
    def test_the_network_is_left_as_it_was_loaded(self, tiny: ModelSpec) -> None:
        placement = choose_placement(PainterSettings(device="cpu"))
        unet = load_model(tiny, placement).text_to_image.unet
        assert "forward" not in vars(unet)
        assert unet.conv_in.weight.is_contiguous()
        assert placement.guided_share == 1

    def test_settings_of_the_bot_ask_for_nothing(self) -> None:
        from bot.config import PROGRAM_FOLDER, load_config

        shipped = load_config(PROGRAM_FOLDER / "config.toml").generation.painters()[0]
        plain = PainterSettings()
        for name in ("channels_last", "attention", "compile", "vae_dtype", "guided_share", "fp8"):
            assert getattr(shipped, name) == getattr(plain, name)


class TestRefused:
    def test_eight_bits_without_a_gpu(self) -> None:
        setting, reason = refusal(PainterSettings(fp8=True), CPU)
        assert setting == "fp8"
        assert "needs an NVIDIA GPU" in reason

    def test_eight_bits_on_a_gpu_that_has_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 6))
        assert refusal(PainterSettings(fp8=True), CUDA)[1].endswith("and this GPU has 8.6")

    def test_eight_bits_of_what_is_not_bfloat16(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
        assert "bfloat16" in refusal(PainterSettings(fp8=True), CUDA, torch.float16)[1]

    def test_eight_bits_without_torchao(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
        monkeypatch.setattr("generation.painter.precision.find_spec", lambda name: None)
        assert "'.[fp8]'" in refusal(PainterSettings(fp8=True), CUDA)[1]

    def test_graphs_without_a_gpu(self) -> None:
        assert refusal(PainterSettings(compile="graphs"), CPU)[0] == "compile"

    @pytest.mark.parametrize("settings", [{"compile": "unet"}, {"fp8": True}], ids=["compile", "fp8"])
    def test_what_needs_the_whole_model_on_the_device(self, settings: dict[str, Any]) -> None:
        assert "vram = full" in refusal(PainterSettings(vram="low", **settings), CUDA)[1]

    def test_a_painter_is_not_made_then(self) -> None:
        with pytest.raises(SettingRefused):
            Painter(PainterSettings(device="cpu", fp8=True))


class TestMemoryAndKernels:
    def test_channels_last_paints_nearly_the_same(self, painter: Painter, tiny: ModelSpec) -> None:
        faster = Painter(PainterSettings(device="cpu", channels_last=True))
        picture = paint(faster, tiny, recipe()).pictures[0]
        assert distance(picture, paint(painter, tiny, recipe()).pictures[0]) <= 0.2
        unet = load_model(tiny, choose_placement(PainterSettings(device="cpu", channels_last=True))).text_to_image.unet
        assert unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)

    @pytest.fixture
    def attention_order(self) -> Iterator[None]:
        """The order in which this process tries kernels is put back."""
        before = torch._C._get_sdp_priority_order()
        yield
        torch._C._set_sdp_priority_order(before)

    @pytest.mark.parametrize(("name", "backend"), [("math", SDPBackend.MATH), ("flash", SDPBackend.FLASH_ATTENTION)])
    def test_the_named_kernel_is_tried_first(
        self, painter: Painter, tiny: ModelSpec, attention_order: None, name: Any, backend: SDPBackend
    ) -> None:
        before = paint(painter, tiny, recipe()).pictures[0]
        choosing = Painter(PainterSettings(device="cpu", attention=name))
        choosing.load(tiny)
        order = _cur_sdpa_kernel_backends(with_priority=True)
        assert order[0] is backend
        assert {SDPBackend.MATH, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION} <= set(order)
        assert distance(paint(choosing, tiny, recipe()).pictures[0], before) <= 0.2

    def test_without_a_name_the_order_is_left_alone(self, tiny: ModelSpec, attention_order: None) -> None:
        torch._C._set_sdp_priority_order([3, 2, 1, 0, 4])
        before = _cur_sdpa_kernel_backends(with_priority=True)
        Painter(PainterSettings(device="cpu")).load(tiny)
        assert _cur_sdpa_kernel_backends(with_priority=True) == before

    def test_the_decoder_in_bfloat16(self, painter: Painter, tiny: ModelSpec) -> None:
        settings = PainterSettings(device="cpu", vae_dtype="bfloat16")
        model = load_model(tiny, choose_placement(settings))
        assert model.vae.dtype == torch.bfloat16
        assert model.text_to_image.unet.dtype == torch.float32
        picture = paint(Painter(settings), tiny, recipe()).pictures[0]
        assert 0 < distance(picture, paint(painter, tiny, recipe()).pictures[0]) < 10


class TestGuidanceThatEnds:
    @pytest.mark.parametrize(
        ("changes", "rows"),
        [
            ({}, [2, 2, 1, 1]),
            ({"num_inference_steps": 5}, [2, 2, 2, 1, 1]),
            ({"scheduler": "heun"}, [2, 2, 2, 2, 1, 1, 1]),  # two evaluations a step, but for the last
            ({"guidance_scale": 1.0}, [1, 1, 1, 1]),
            ({"stop": 0.25}, [2]),
            ({"negative_prompt": "sand"}, [2, 2, 1, 1]),
        ],
        ids=["even", "odd", "second order", "without guidance", "stopped before", "negative"],
    )
    def test_later_steps_see_the_prompt_alone(
        self, ending: Painter, tiny: ModelSpec, changes: dict[str, Any], rows: list[int]
    ) -> None:
        assert ending._models.current is not None
        with seen_by(ending._models.current.text_to_image.unet, lambda sample: sample.shape[0]) as seen:
            paint(ending, tiny, recipe(**changes))
        assert seen == rows

    def test_a_batch_and_what_starts_from_a_picture(self, ending: Painter, painter: Painter, tiny: ModelSpec) -> None:
        first = paint(painter, tiny, recipe()).pictures[0].png
        several = [recipe(seed=seed, source=Source(digest="", strength=1.0)) for seed in (1, 2)]
        assert ending._models.current is not None
        with seen_by(ending._models.current.text_to_image.unet, lambda sample: sample.shape[0]) as seen:
            together = paint(ending, tiny, *several, sources=(first, first)).pictures
        assert seen == [4, 4, 2, 2]
        alone = paint(ending, tiny, several[1], sources=(first,)).pictures[0]
        assert distance(together[1], alone) <= 0.2

    def test_a_refiner_goes_on_where_the_model_was(self, tiny_folder: Path, tmp_path: Path) -> None:
        build_refiner().save_pretrained(tmp_path)
        spec = spec_for(tiny_folder, refiner=str(tmp_path))
        for share, expected in ((0.25, [1, 1]), (0.75, [2, 1])):
            painter = Painter(PainterSettings(device="cpu", guided_share=share))
            paint(painter, spec, recipe(refine=0.5))
            assert painter._models.current_refiner is not None
            with seen_by(painter._models.current_refiner.pipeline.unet, lambda sample: sample.shape[0]) as seen:
                paint(painter, spec, recipe(refine=0.5))
            assert seen == expected

    def test_it_changes_the_picture(self, ending: Painter, painter: Painter, tiny: ModelSpec) -> None:
        pictures = [paint(each, tiny, recipe()).pictures[0] for each in (ending, painter)]
        assert distance(*pictures) > 0

    def test_at_least_one_step_is_guided(self) -> None:
        assert [guided_steps(share, 10) for share in (0.01, 0.1, 0.11, 0.5, 1.0)] == [1, 1, 2, 5, 10]


class TestBounds:
    def test_the_training_buckets_are_within_them(self) -> None:
        bounds = Bounds.of(ModelSpec(name="sdxl", source="", native_size=1024))
        assert {(height // 8, width // 8) for width, height in BUCKETS} <= bounds.sizes
        assert (192, 192) in bounds.sizes  # the windows in which larger pictures are painted
        assert len(bounds.sizes) == len(BUCKETS) + 1

    def test_few_shapes_are_exact(self) -> None:
        bounds = Bounds.of(ModelSpec(name="sdxl", source="", native_size=1024, max_batch=4))
        exact = [rows for rows in range(1, 20) if bounds.exact(torch.empty(rows, 4, 128, 128))]
        assert exact == [1, 2, 4, 8]
        assert not bounds.exact(torch.empty(2, 4, 112, 144))


class StandIn(torch.nn.Module):
    """What compiling knows of a UNet: how it is called, and its first convolution. The real one is traced for long."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_in = torch.nn.Conv2d(4, 4, 3, padding=1)
        self.states = torch.nn.Linear(16, 4)

    def forward(
        self, sample: torch.Tensor, timestep: torch.Tensor, encoder_hidden_states: torch.Tensor, **arguments: Any
    ) -> tuple[torch.Tensor]:
        prompt = self.states(encoder_hidden_states).mean(dim=1)
        return (self.conv_in(sample) * prompt[:, :, None, None] + timestep,)


class TestCompiled:
    def test_few_graphs_serve_all_sizes_and_what_is_beyond_runs_as_before(self) -> None:
        """Traced only: what a compiler then makes of a graph takes minutes, and is PyTorch's affair."""
        torch.manual_seed(0)
        unet = StandIn().eval()
        plain = unet.forward
        graphs: list[Any] = []

        def traced(graph: Any, inputs: Any) -> Any:
            graphs.append(graph)
            return graph.forward

        bounds = Bounds(sizes=frozenset({(8, 8), (8, 12), (12, 8)}), square=(8, 8), pictures=4)
        compile_unet(unet, bounds, cuda_graphs=False, backend=traced)

        def graphs_after(rows: int, height: int, width: int, *, tokens: int = 77) -> int:
            torch.manual_seed(rows)
            sample, states = torch.randn(rows, 4, height, width), torch.randn(rows, tokens, 16)
            arguments = {"encoder_hidden_states": states, "return_dict": False}
            with torch.inference_mode():
                got = unet(sample, torch.tensor(7), **arguments)[0]
                assert torch.allclose(got, plain(sample, torch.tensor(7), **arguments)[0], atol=1e-5)
            return len(graphs)

        exact = graphs_after(2, 8, 8)
        assert exact >= 1
        assert graphs_after(2, 8, 8) == exact
        several = graphs_after(6, 8, 12)  # open: another number of pictures, another bucket
        assert several > exact
        assert graphs_after(4, 12, 8) == graphs_after(2, 8, 12) == several
        assert graphs_after(2, 8, 8) == several  # its own is still there
        assert graphs_after(2, 10, 10) == several  # no bucket
        assert graphs_after(2, 8, 8, tokens=154) == several  # a prompt of two chunks
        with seamless(unet):
            assert graphs_after(2, 8, 8) == several
        torch.compiler.reset()


class TestEightBits:
    """On the CPU, where torch's own arithmetic stands in for a GPU's."""

    @pytest.fixture
    def model(self, tiny: ModelSpec) -> Any:
        pytest.importorskip("torchao", reason="the extra fp8 is not installed")
        return load_model(tiny, choose_placement(PainterSettings(device="cpu", dtype="bfloat16")))

    def test_the_transformers_are_rounded_and_nothing_else(self, model: Any) -> None:
        unet = model.text_to_image.unet
        to_fp8(unet)
        rounded = {name.removesuffix(".weight") for name, value in unet.named_parameters() if hasattr(value, "qdata")}
        assert rounded == {name for name, module in unet.named_modules() if in_fp8(name, module)}
        assert any(name.endswith("attn1.to_q") for name in rounded)
        assert all(".attentions." in f".{name}" and not name.endswith(("attn2.to_k", "attn2.to_v")) for name in rounded)

    def test_pictures_are_alike(self, model: Any, tiny: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
        painter = Painter(PainterSettings(device="cpu", dtype="bfloat16"))
        monkeypatch.setattr("generation.painter.held_models.load_model", lambda *_: model)
        before = paint(painter, tiny, recipe()).pictures[0]
        to_fp8(model.text_to_image.unet)
        assert 0 < distance(paint(painter, tiny, recipe()).pictures[0], before) < 10

    def test_a_small_change_is_not_rounded_away(self, model: Any) -> None:
        """It is less than the steps between eight-bit numbers, and shows in the mean of many."""
        layer = model.text_to_image.unet.mid_block.attentions[0].proj_in
        before = layer.weight.detach().float()
        to_fp8(model.text_to_image.unet)
        kept, rounded = layer.weight.detach().clone(), layer.weight.dequantize().float()
        change = 0.01 * before
        with torch.no_grad():
            set_numbers(layer.weight.data, unrounded(layer, kept).float() + change)
            share = ((layer.weight.dequantize().float() - rounded) * change).sum() / change.square().sum()
            assert 0.5 < share < 1.5
            layer.weight.data.copy_(kept)
        assert torch.equal(layer.weight.dequantize().float(), rounded)

    def test_loras_are_added_to_them_and_taken_out_again(
        self, model: Any, tiny: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        to_fp8(model.text_to_image.unet)
        painter = Painter(PainterSettings(device="cpu", dtype="bfloat16"))
        monkeypatch.setattr("generation.painter.held_models.load_model", lambda *_: model)
        lora = save_lora(tmp_path, "look", seed=1)
        before = paint(painter, tiny, recipe()).pictures[0]
        with_lora = paint(painter, tiny, recipe(loras=(LoraUse(name="look"),)), loras=(lora,)).pictures[0]
        assert distance(with_lora, before) > 1
        # Its weights of eight bits come from what these were before: no second copy is kept.
        assert not any(hasattr(kept, "qdata") for kept in model.adapters._patches._originals.values())
        assert paint(painter, tiny, recipe()).pictures[0].png == before.png

    def test_rows_of_zeros_stay_zeros(self, model: Any) -> None:
        """An empty negative prompt is all zeros, and its values in attention are, too."""
        attention = model.text_to_image.unet.mid_block.attentions[0].transformer_blocks[0].attn2
        output = attention.to_out[0]
        with torch.no_grad():
            output.weight[0].zero_()
        to_fp8(model.text_to_image.unet)
        values = torch.zeros(1, 16, output.in_features, dtype=torch.bfloat16)
        assert torch.equal(output(values)[0, 0], output.bias)
        values[:, 1:] = 1
        assert torch.isfinite(output(values)).all()
        assert torch.equal(output(values)[0, :, 0], output.bias[0].expand(16))

    def test_plain_weights_take_numbers_as_they_are(self) -> None:
        weight, numbers = torch.zeros(2, 2), torch.ones(2, 2)
        set_numbers(weight, numbers)
        assert torch.equal(weight, numbers)


def test_the_tiny_model_has_layers_for_eight_bits() -> None:
    """What the tests above stand on."""
    assert any(in_fp8(name, module) for name, module in build_pipeline().unet.named_modules())
