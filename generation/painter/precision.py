"""Linear layers that multiply in eight bits (fp8, e4m3): up to twice bfloat16's rate, pictures that differ a little.

torchao's dynamic scheme: weights are rounded once, with a scale for each row; activations at each call, with a scale
for each token. Convolutions, norms and what stands before the blocks (time and size embeddings) stay as they are.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from generation.errors import SettingRefused

# Ada and Hopper are the first with fp8 tensor cores.
FP8_CAPABILITY = (8, 9)
# Rows and columns of what the kernels multiply come in multiples of it.
FP8_MULTIPLE = 16
# What a row's largest number is taken to be at least, so that a row of zeros has a scale.
LEAST_ROW = 1e-6


def check_fp8(device: torch.device, dtype: torch.dtype) -> None:
    """Raises `SettingRefused` where the device, the number format or what is installed does not allow fp8."""
    if device.type != "cuda":
        raise SettingRefused(setting="fp8", reason=f"it needs an NVIDIA GPU, and this worker draws on {device.type}")
    capability = torch.cuda.get_device_capability(device)
    if capability < FP8_CAPABILITY:
        has, wants = (".".join(map(str, each)) for each in (capability, FP8_CAPABILITY))
        raise SettingRefused(
            setting="fp8", reason=f"it needs compute capability {wants} (Ada, Hopper or newer), and this GPU has {has}"
        )
    if dtype != torch.bfloat16:
        raise SettingRefused(setting="fp8", reason="it needs dtype = bfloat16")
    if find_spec("torchao") is None:
        raise SettingRefused(setting="fp8", reason="torchao is not installed; pip install -e '.[fp8]' brings it")


def in_fp8(name: str, module: torch.nn.Module) -> bool:
    """Whether the UNet's module of that name multiplies in eight bits: a transformer's linear layer of a fitting width.

    The cross-attention's keys and values are left out. They see 77 tokens, which is little work, and carry the prompt.
    """
    if not isinstance(module, torch.nn.Linear) or ".attentions." not in f".{name}":
        return False
    if name.endswith(("attn2.to_k", "attn2.to_v")):
        return False
    return all(width % FP8_MULTIPLE == 0 for width in module.weight.shape)


def to_fp8(unet: Any) -> None:
    """Round the UNet's linear layers to eight bits, in place; they must be bfloat16, and on their device.

    What they were is kept in main memory (SDXL: 4 GB), for LoRAs: a change that is smaller than the steps between
    eight-bit numbers would be lost if it were added to rounded ones, and is not if the sum is rounded.
    """
    for name, module in unet.named_modules():
        if in_fp8(name, module):
            weight = module.weight.detach()
            module.unrounded_weight = weight.cpu().pin_memory() if weight.device.type == "cuda" else weight
            module.weight = torch.nn.Parameter(_rounded(weight), requires_grad=False)


def unrounded(module: torch.nn.Module, weight: Tensor) -> Tensor:
    """What the module's own `weight` was before it was rounded to eight bits; itself, if it was not."""
    kept = getattr(module, "unrounded_weight", None)
    return weight if kept is None else kept


def set_numbers(weight: Tensor, numbers: Tensor) -> None:
    """Change a weight in place; one of eight bits takes them rounded, with scales of their own."""
    eight_bits = hasattr(weight, "qdata")  # Float8Tensor's; torchao need not be there to ask
    weight.copy_(_rounded(numbers.to(weight.device, weight.dtype)) if eight_bits else numbers)


def _rounded(numbers: Tensor) -> Any:
    """A weight of eight bits. Not torchao's `quantize_`, whose scale of a row of zeros is 0, by which it then divides.

    Such rows come with every empty negative prompt: SDXL makes zeros of it, and its values in attention are zeros too.
    """
    logging.getLogger("torchao").setLevel(logging.ERROR)  # it tells of parts that are not used here
    from torchao.float8.inference import Float8MMConfig
    from torchao.quantization import Float8Tensor, PerRow
    from torchao.quantization.quantize_.common import KernelPreference
    from torchao.quantization.quantize_.workflows import QuantizeTensorToFloat8Kwargs

    scales: dict[str, Any] = {
        "float8_dtype": torch.float8_e4m3fn,
        "granularity": PerRow(),
        "mm_config": Float8MMConfig(use_fast_accum=True),
        "hp_value_lb": LEAST_ROW,
        "kernel_preference": KernelPreference.TORCH,
    }
    return Float8Tensor.from_hp(numbers, act_quant_kwargs=QuantizeTensorToFloat8Kwargs(**scales), **scales)
