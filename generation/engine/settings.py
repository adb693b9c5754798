"""How painters shall use their devices and an engine its workers. Read by whoever configures them; no torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Dtype: TypeAlias = Literal["auto", "float32", "float16", "bfloat16"]
Vram: TypeAlias = Literal["full", "medium", "low"]
AttentionKernel: TypeAlias = Literal["auto", "flash", "cudnn", "efficient", "math"]
Compile: TypeAlias = Literal["off", "blocks", "unet", "graphs"]
OnOff: TypeAlias = Literal["auto", "on", "off"]
VaeDtype: TypeAlias = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PainterSettings:
    """One painter on one device.

    `device` is "auto" (the best that the machine has), "cuda", "cuda:1", "mps" or "cpu"; `dtype` "auto" is what suits
    it. `vram` "full" keeps everything on the device, "medium" only the model at work, "low" only the layer at work.
    `preview_every` is in denoising steps, 0 for no previews. `threads` is for CPU kernels, None for torch's own choice.
    `upscaler` is where a super-resolution network is (a transformers folder or id of Swin2SR, or a .safetensors file of
    the ESRGAN family), `segmenter` where one that finds things by words is (CLIPSeg); '' for none. `classifier` is
    where an image classifier is (a transformers folder or id), which gives each finished picture a score for its label
    `classifier_label`; '' for none. `overlap` says whether pictures are decoded, looked at and written to files while
    the next batch is denoised ("auto": on CUDA). Models that were used last are kept in `models_on_device_gigabytes` of
    the device and `models_in_memory_gigabytes` of main memory; 0: only the one at work. A model whose
    files take no more than the latter may be read while another one draws.

    What follows is faster and moves pixels a little, so it is off: `channels_last` lays the UNet out as tensor cores
    want it, `attention` names the kernel that is tried first, `compile` says how much of the UNet is compiled
    ("graphs": all of it, and single pictures through CUDA graphs), `compile_folder` where compiled kernels are kept
    ('': where PyTorch keeps them), `vae_dtype` how the VAE works ("auto": in `dtype`, or in float32 where its
    configuration says so), `guided_share` is the share of a picture's steps, the first ones, that are guided, and `fp8`
    lets linear layers multiply in eight bits.
    """

    device: str = "auto"
    dtype: Dtype = "auto"
    vram: Vram = "full"
    preview_every: int = 1
    threads: int | None = None
    upscaler: str = ""
    segmenter: str = ""
    classifier: str = ""
    classifier_label: str = ""
    overlap: OnOff = "auto"
    models_on_device_gigabytes: float = 0.0
    models_in_memory_gigabytes: float = 0.0
    channels_last: bool = False
    attention: AttentionKernel = "auto"
    compile: Compile = "off"
    compile_folder: str = ""
    vae_dtype: VaeDtype = "auto"
    guided_share: float = 1.0
    fp8: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How an engine minds its workers. Times in seconds.

    A worker is killed and started anew when its painter gave no sign during a batch for `hang_seconds` (a full model
    loads within one, and a slow machine needs its time for a step), or its process none at all for `silence_seconds`;
    it gives one every `heartbeat_seconds`. After the second death in a row without a finished batch the next start
    waits `first_pause`, then twice as long each time, `longest_pause` at most; after `max_deaths` there is none: a job
    that kills its worker does so three times before it fails, and two such jobs in a row shall not end the program.
    `painter` names the class that paints as `module:Class`.
    """

    hang_seconds: float = 600.0
    silence_seconds: float = 120.0
    heartbeat_seconds: float = 5.0
    first_pause: float = 0.5
    longest_pause: float = 30.0
    max_deaths: int = 7
    painter: str = "generation.painter.painter:Painter"
