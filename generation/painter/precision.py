"""Linear layers that multiply in eight bits (fp8, e4m3): up to twice bfloat16's rate, pictures that differ a little.

torchao's dynamic scheme: weights are rounded once, with a scale for each row; activations at each call, with a scale
for each token. Convolutions, norms and what stands before the blocks (time and size embeddings) stay as they are.
"""

from __future__ import annotations

import logging
import warnings
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from generation.errors import SettingRefused

# Ada and Hopper are the first with fp8 tensor cores.
FP8_CAPABILITY = (8, 9)
# Rows and columns of what the kernels multiply come in multiples of it.
FP8_MULTIPLE = 16


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

    Raises `SettingRefused` where torchao cannot.
    """
    # It warns of parts that it was built with and that are not used here.
    logging.getLogger("torchao").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, PerRow, quantize_

        try:
            quantize_(
                unet,
                Float8DynamicActivationFloat8WeightConfig(granularity=PerRow(), set_inductor_config=False),
                filter_fn=lambda module, name: in_fp8(name, module),
            )
        except (RuntimeError, NotImplementedError, AssertionError) as error:
            raise SettingRefused(setting="fp8", reason=f"torchao refuses this model: {error}") from error


def numbers_of(weight: Tensor) -> Tensor:
    """A weight as plain numbers, also one of eight bits."""
    return weight.dequantize() if _in_eight_bits(weight) else weight


def set_numbers(weight: Tensor, numbers: Tensor) -> None:
    """Change a weight in place; one of eight bits takes them rounded, with scales of their own."""
    if not _in_eight_bits(weight):
        weight.copy_(numbers)
        return
    from torchao.quantization import Float8Tensor, PerRow

    eight_bits: Any = weight
    weight.copy_(
        Float8Tensor.from_hp(
            numbers.to(weight.dtype),
            eight_bits.qdata.dtype,
            PerRow(),
            mm_config=eight_bits.mm_config,
            kernel_preference=eight_bits.kernel_preference,
            act_quant_kwargs=eight_bits.act_quant_kwargs,
        )
    )


def _in_eight_bits(weight: Tensor) -> bool:
    return hasattr(weight, "qdata")  # Float8Tensor's; torchao need not be there to ask
