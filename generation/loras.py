"""LoRA files: which there are, and whether one fits a model, from their headers alone (no weights are loaded).

Two ways of naming the tensors are in use: diffusers and peft (`unet.….attn2.to_k.lora_A.weight`) and kohya's sd-scripts
(`lora_unet_…_attn2_to_k.lora_down.weight`). In both the matrix that goes down is rank × inputs, and the inputs of the
cross attention's keys and values are the text embeddings: their number tells the architecture.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import structlog

from generation.catalogue import LoraSpec, ModelSpec
from generation.errors import LoraRefused
from generation.safetensors_header import Header, MalformedHeader, read_header

MAX_TRIGGER_LENGTH = 200  # a trigger is a word or a few; more would crowd the person's own words out of 77 tokens
MAX_TITLE_LENGTH = 100

# The width of the text embeddings, by architecture.
SD1, SD2, SDXL = 768, 1024, 2048
ARCHITECTURES: Mapping[int, str] = {SD1: "Stable Diffusion 1.x", SD2: "Stable Diffusion 2.x", SDXL: "SDXL"}

_NOT_IN_NAMES = re.compile(r"[^a-z0-9_-]+")
_LORA_TENSOR = re.compile(r"\.lora_(A|B|down|up)\.|[._]lora\.(down|up)\.|_lora\.(down|up)\.")
_CROSS_ATTENTION_DOWN = re.compile(
    r"attn2[._](processor\.)?to_[kv](\.lora_A|\.lora_down|\.lora\.down|_lora\.down)(\.[a-z0-9_]+)?\.weight$"
)
# Ways of adapting a model other than LoRA, by what their tensors are called.
_OTHER_ADAPTERS = {"dora_scale": "DoRA", "hada_w1": "LoHa", "lokr_w": "LoKr", ".oft_": "OFT", ".glora": "GLoRA"}
# Tensors that only models without a UNet have (Flux, SD3, Qwen-Image, …).
_TRANSFORMER_TENSORS = (
    "transformer.",
    "diffusion_model.",
    "lora_transformer_",
    "lora_unet_double_blocks",
    "lora_unet_joint_blocks",
)


def read_lora(path: Path) -> LoraSpec:
    """What the file's header tells. Raises `LoraRefused` (with `model` empty) for anything but a LoRA of a UNet."""
    name = _NOT_IN_NAMES.sub("_", path.stem.lower()).strip("_-")

    def refused(reason: str) -> LoraRefused:
        return LoraRefused(name=name or path.name, model="", reason=reason)

    if not name:
        raise refused("its file name has no letters (a to z) or digits to call it by")
    if path.suffix != ".safetensors":
        raise refused("it is not a .safetensors file; other formats can run code when they are loaded")
    try:
        header = read_header(path)
    except MalformedHeader as error:
        raise refused(str(error)) from error
    except OSError as error:
        raise refused(f"its file cannot be read: {error.strerror}") from error

    for mark, kind in _OTHER_ADAPTERS.items():
        if any(mark in tensor for tensor in header.shapes):
            raise refused(f"it is a {kind}, not a plain LoRA")
    if not any(_LORA_TENSOR.search(tensor) for tensor in header.shapes):
        raise refused("it is not a LoRA")
    if any(tensor.startswith(_TRANSFORMER_TENSORS) for tensor in header.shapes):
        raise refused("it was made for a model without a UNet (Flux, SD3 or the like)")
    return LoraSpec(
        name=name,
        path=path,
        trigger=_one_line(header.metadata.get("modelspec.trigger_phrase", ""), MAX_TRIGGER_LENGTH),
        title=_one_line(
            header.metadata.get("modelspec.title") or header.metadata.get("ss_output_name", ""), MAX_TITLE_LENGTH
        ),
        cross_attention_dim=_cross_attention_dim(header),
    )


def scan_loras(folders: Iterable[Path]) -> tuple[dict[str, LoraSpec], list[LoraRefused]]:
    """All LoRAs in these folders (not below them) by name, and why the other `.safetensors` files there are none.

    Never raises for a bad file or a missing folder. Where two files come to the same name, the first one counts and the
    second is among the refused.
    """
    log = structlog.get_logger(__name__)
    found: dict[str, LoraSpec] = {}
    refused: list[LoraRefused] = []
    for path in (path for folder in folders for path in sorted(folder.glob("*.safetensors"))):
        try:
            lora = read_lora(path)
            if lora.name in found:
                raise LoraRefused(name=lora.name, model="", reason=f"{found[lora.name].path} has the same name")
        except LoraRefused as error:
            log.warning("lora_refused", path=str(path), reason=error.fields["reason"])
            refused.append(error)
        else:
            found[lora.name] = lora
    return found, refused


def check_lora(lora: LoraSpec, model: ModelSpec) -> None:
    """Raises `LoraRefused` when the LoRA's header tells that it was made for another architecture than the model's."""
    made_for = lora.cross_attention_dim
    if made_for is None or made_for == model.cross_attention_dim:
        return
    raise LoraRefused(
        name=lora.name,
        model=model.name,
        reason=f"it was made for {_architecture(made_for)}, the model is {_architecture(model.cross_attention_dim)}",
    )


def _architecture(cross_attention_dim: int) -> str:
    return ARCHITECTURES.get(cross_attention_dim, f"one with text embeddings of width {cross_attention_dim}")


def _cross_attention_dim(header: Header) -> int | None:
    for tensor, shape in header.shapes.items():
        if len(shape) >= 2 and _CROSS_ATTENTION_DOWN.search(tensor):
            return shape[1]
    # A LoRA that leaves the cross attention alone: what its trainer noted (sai-modelspec 1.0 and kohya's sd-scripts).
    noted = (header.metadata.get("modelspec.architecture") or header.metadata.get("ss_base_model_version", "")).lower()
    if "xl" in noted:
        return SDXL
    if noted.startswith(("stable-diffusion-v1", "sd_v1")):
        return SD1
    if noted.startswith(("stable-diffusion-v2", "sd_v2")):
        return SD2
    return None


def _one_line(text: str, limit: int) -> str:
    return " ".join(text.split())[:limit].strip()
