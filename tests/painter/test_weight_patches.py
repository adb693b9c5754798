"""LoRAs in the weights themselves: the same numbers as peft's, gone without a trace, and nothing is compiled anew."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import cpu_offload
from diffusers import StableDiffusionXLPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor

from generation.catalogue import LoraSpec
from generation.errors import ModelUnavailable
from generation.painter.adapters import Adapters
from generation.recipe import LoraUse
from tests.painter.lora_files import UNET_MODULES, save_lora
from tests.painter.tiny_sdxl import build_pipeline

CPU = torch.device("cpu")
PARTS = ("unet", "text_encoder", "text_encoder_2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("loras")


@pytest.fixture(scope="module")
def loras(folder: Path) -> list[LoraSpec]:
    return [
        save_lora(folder, "lines", seed=1),
        save_lora(folder, "words", seed=2, text_encoders=True),
        _with_settings(folder, "dora", use_dora=True),
        _with_settings(folder, "stable", r=3, lora_alpha=5, use_rslora=True),
        _with_settings(folder, "uneven", r=4, rank_pattern={"to_q": 2}, alpha_pattern={"to_k": 1, "to_q": 6}),
        _kohya(folder, "kohya"),
    ]


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return build_pipeline()


@pytest.fixture(scope="module")
def adapters(pipeline: Any) -> Adapters:
    return Adapters(pipeline, CPU)


def weights(pipeline: Any) -> dict[str, Tensor]:
    return {
        f"{part}.{name}": tensor.clone()
        for part in PARTS
        for name, tensor in getattr(pipeline, part).state_dict().items()
    }


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def uses(**strengths: float) -> list[LoraUse]:
    return [LoraUse(name=name, weight=strength) for name, strength in strengths.items()]


@torch.no_grad()
def answers(pipeline: Any) -> dict[str, Tensor]:
    """What each part makes of fixed inputs."""
    draw = torch.Generator().manual_seed(3)
    ids = torch.arange(77)[None] + 5
    words = torch.randn(1, 77, 80, generator=draw)
    conditions = {"text_embeds": torch.randn(1, 48, generator=draw), "time_ids": torch.ones(1, 6) * 64}
    latents = torch.randn(1, 4, 8, 8, generator=draw)
    return {
        "unet": pipeline.unet(latents, 500, words, added_cond_kwargs=conditions).sample,
        "text_encoder": pipeline.text_encoder(ids).last_hidden_state,
        "text_encoder_2": pipeline.text_encoder_2(ids).text_embeds,
    }


@pytest.mark.parametrize(
    "strengths",
    [
        {"lines": 1.0},
        {"words": -0.7},
        {"stable": 0.8},
        {"uneven": 1.0},
        {"dora": 1.0},
        {"dora": 0.6, "lines": 0.5},
        {"kohya": 1.0},
        {"lines": 0.5, "words": 0.5, "uneven": 2.0},
    ],
    ids=lambda strengths: "-".join(strengths),
)
@pytest.mark.filterwarnings("ignore:Already found a `peft_config`")
def test_it_acts_as_peft_lets_it_act(
    pipeline: Any, adapters: Adapters, loras: list[LoraSpec], strengths: dict[str, float]
) -> None:
    theirs = build_pipeline()
    base = answers(theirs)
    for lora in loras:
        if lora.name in strengths:
            theirs.load_lora_weights(str(lora.path.parent), weight_name=lora.path.name, adapter_name=lora.name)
    theirs.set_adapters(list(strengths), adapter_weights=list(strengths.values()))
    adapters.switch(uses(**strengths), loras)
    expected, found = answers(theirs), answers(pipeline)
    assert float((expected["unet"] - base["unet"]).abs().max()) > 0.01
    for part, tensor in found.items():
        torch.testing.assert_close(tensor, expected[part], rtol=1e-3, atol=1e-4)
    if "words" in strengths or "kohya" in strengths:
        assert float((expected["text_encoder_2"] - base["text_encoder_2"]).abs().max()) > 0.01


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`")
def test_in_bfloat16_it_is_near_to_what_peft_does(loras: list[LoraSpec]) -> None:
    """The sum is rounded once to the weights' format, peft's branch is not: small LoRAs lose some of their effect."""
    ours, theirs = build_pipeline().to(torch.bfloat16), build_pipeline()
    lora = loras[0]
    theirs.load_lora_weights(str(lora.path.parent), weight_name=lora.path.name, adapter_name=lora.name)
    before = weights(ours)
    Adapters(ours, CPU).switch(uses(lines=1.0), loras)
    after, change, lost = weights(ours), 0.0, 0.0
    for name, module in theirs.unet.named_modules():
        if not hasattr(module, "get_delta_weight"):
            continue
        delta = module.get_delta_weight("lines").detach()
        place = f"unet.{name}.weight"
        change += float(delta.square().sum())
        lost += float((after[place].float() - before[place].float() - delta).square().sum())
    assert 0 < (lost / change) ** 0.5 < 0.05


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_weight_comes_back_to_the_bit(loras: list[LoraSpec], dtype: torch.dtype) -> None:
    pipeline = build_pipeline().to(dtype)
    pipeline.unet.to(memory_format=torch.channels_last)
    places = {name: parameter.data_ptr() for name, parameter in pipeline.unet.named_parameters()}
    adapters = Adapters(pipeline, CPU)
    before = weights(pipeline)
    for strengths in ({"words": 1.0}, {"lines": 2.0, "dora": -1.5}, {"words": 0.01}, {"kohya": 0.1, "words": 0.3}):
        adapters.switch(uses(**strengths), loras)
        assert not same(weights(pipeline), before)
    adapters.switch([], loras)
    assert same(weights(pipeline), before)
    # The modules hold what they held: nothing was exchanged, nothing lies elsewhere or in another order.
    assert {name: parameter.data_ptr() for name, parameter in pipeline.unet.named_parameters()} == places
    assert pipeline.unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)


def test_what_was_on_before_leaves_nothing(pipeline: Any, adapters: Adapters, loras: list[LoraSpec]) -> None:
    adapters.switch(uses(words=0.5), loras)
    alone = weights(pipeline)
    for others in ({"lines": 1.0, "words": 2.0}, {"dora": 1.0}, {"words": 0.5, "kohya": 1.0}):
        adapters.switch(uses(**others), loras)
        adapters.switch(uses(words=0.5), loras)
        assert same(weights(pipeline), alone)


def test_one_that_fails_leaves_the_models_own(
    pipeline: Any, adapters: Adapters, loras: list[LoraSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    adapters.switch([], loras)
    before = weights(pipeline)
    adapters.switch(uses(words=1), loras)
    with pytest.raises(ModelUnavailable):
        adapters.switch(uses(words=1, elsewhere=1), loras)
    assert same(weights(pipeline), before)

    adapters.switch(uses(words=1), loras)
    copied, original = 0, adapters._patches._original

    def memory_runs_out(place: Any, weight: Tensor) -> Tensor:
        nonlocal copied
        copied += 1
        if copied > 5:
            raise torch.OutOfMemoryError("pretended")
        return original(place, weight)

    monkeypatch.setattr(adapters._patches, "_original", memory_runs_out)
    with pytest.raises(torch.OutOfMemoryError):
        adapters.switch(uses(lines=1, words=0.5), loras)
    assert same(weights(pipeline), before)
    monkeypatch.undo()
    adapters.switch(uses(words=1), loras)
    assert not same(weights(pipeline), before)


def test_originals_of_what_no_kept_lora_changes_are_given_up(loras: list[LoraSpec]) -> None:
    pipeline = build_pipeline()
    adapters = Adapters(pipeline, CPU, kept_bytes=0)
    adapters.switch(uses(words=1), loras)
    assert any(part == "text_encoder" for part, _ in adapters._patches.kept)
    adapters.switch(uses(lines=1), loras)
    assert {part for part, _ in adapters._patches.kept} == {"unet"}
    adapters.switch([], loras)
    assert not adapters._patches.kept


def test_where_layers_wait_in_main_memory_they_are_changed_there(loras: list[LoraSpec]) -> None:
    """Accelerate keeps the weights in its hooks then; the modules have none of their own between two pictures."""
    plain, offloaded = build_pipeline(), build_pipeline()
    before = answers(plain)
    for part in PARTS:
        cpu_offload(getattr(offloaded, part), execution_device=CPU)
    assert offloaded.unet.conv_in.weight.is_meta
    for pipeline in (plain, offloaded):
        Adapters(pipeline, CPU).switch(uses(words=1, lines=0.5), loras)
    for part, tensor in answers(plain).items():
        assert not torch.equal(tensor, before[part])
        assert torch.equal(answers(offloaded)[part], tensor)


def test_what_is_compiled_stays_compiled(loras: list[LoraSpec]) -> None:
    pipeline = build_pipeline()
    adapters = Adapters(pipeline, CPU)
    states = ("", "words", "lines", "dora", "")
    plain = [answers_with(pipeline, adapters, loras, state) for state in states]
    graphs = 0

    def count(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Any:
        nonlocal graphs
        graphs += 1
        return graph.forward

    torch._dynamo.reset()
    pipeline.unet.mid_block.compile(backend=count)
    pipeline.text_encoder.compile(backend=count)
    answers_with(pipeline, adapters, loras, "")
    compiled = graphs
    assert compiled >= 2
    with torch._dynamo.config.patch(error_on_recompile=True):
        for state, expected in zip(states, plain, strict=True):
            for part, tensor in answers_with(pipeline, adapters, loras, state).items():
                torch.testing.assert_close(tensor, expected[part], rtol=1e-4, atol=1e-5)
    assert graphs == compiled
    torch._dynamo.reset()


def answers_with(pipeline: Any, adapters: Adapters, loras: list[LoraSpec], name: str) -> dict[str, Tensor]:
    adapters.switch(uses(**({name: 1.0} if name else {})), loras)
    return answers(pipeline)


def _with_settings(folder: Path, name: str, **settings: Any) -> LoraSpec:
    """A random LoRA of the UNet as diffusers writes it now: with peft's settings in its header."""
    unet = build_pipeline().unet
    torch.manual_seed(len(name))
    unet.add_adapter(
        LoraConfig(**{"r": 4, "lora_alpha": 4, "target_modules": UNET_MODULES, "init_lora_weights": False} | settings)
    )
    StableDiffusionXLPipeline.save_lora_weights(
        folder,
        unet_lora_layers=get_peft_model_state_dict(unet),
        weight_name=f"{name}.safetensors",
        unet_lora_adapter_metadata=unet.peft_config["default"].to_dict(),
    )
    return LoraSpec(name=name, path=folder / f"{name}.safetensors")


def _kohya(folder: Path, name: str) -> LoraSpec:
    """As kohya's sd-scripts write one, text encoders too, with an alpha that is not the rank."""
    pipeline = build_pipeline()
    torch.manual_seed(9)
    text_modules = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]
    written = {}
    for part, prefix in (("unet", "lora_unet"), ("text_encoder", "lora_te1"), ("text_encoder_2", "lora_te2")):
        module = getattr(pipeline, part)
        targets = UNET_MODULES if part == "unet" else text_modules
        module.add_adapter(LoraConfig(r=4, init_lora_weights=False, target_modules=targets))
        for tensor, values in get_peft_model_state_dict(module).items():
            layer, _, which = tensor.removesuffix(".weight").rpartition(".")
            if part != "unet":
                layer = f"text_model.{layer.removeprefix('text_model.')}"
            flat = f"{prefix}_{layer.replace('.', '_')}"
            written[f"{flat}.{'lora_down' if which == 'lora_A' else 'lora_up'}.weight"] = values.contiguous()
            written[f"{flat}.alpha"] = torch.tensor(2.0)
    path = folder / f"{name}.safetensors"
    save_file(written, path)
    return LoraSpec(name=name, path=path)
