"""A UNet that is compiled (`torch.compile`), with so few graphs that a server is soon through with compiling.

A graph for each size and number of pictures would take a minute each. There are at most `MOST_GRAPHS` for one model:

- squares of the model's native size, one picture and a full batch, with and without guidance: graphs of exactly that
  shape, the fastest, for most of what is drawn;
- the other training buckets, windows and numbers of pictures: one graph whose sizes are open;
- everything else (sizes of edited pictures, prompts of several chunks, seamless patterns): as without compiling.

What a picture is painted by depends on its own shape and batch alone, never on what was painted before. Kernels are
kept on disk (`keep_compiled_in`), so that the next start only traces.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from generation.aspect import BUCKETS, size_for
from generation.catalogue import ModelSpec
from generation.errors import SettingRefused
from generation.tiles import tile_side

Forward: TypeAlias = Callable[..., Any]

LATENT = 8  # pixels a side
TOKENS = 77  # of one chunk of a prompt
# The exact shapes, and for open ones: one for several rows, one for a single row, and some for equalities between sizes
# that the compiler takes for a rule. What comes beyond runs without compiling.
MOST_GRAPHS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The shapes that are compiled for a model.

    `sizes` are (height, width) in latents, `square` the native one among them; `pictures` is how many share a pass.
    """

    sizes: frozenset[tuple[int, int]]
    square: tuple[int, int]
    pictures: int

    @classmethod
    def of(cls, spec: ModelSpec) -> Bounds:
        """A model's training buckets at its native size, and the windows in which larger pictures are painted."""
        square, window = spec.native_size // LATENT, tile_side(spec.native_size) // LATENT
        buckets = {scaled_bucket(bucket, spec.native_size) for bucket in BUCKETS}
        return cls(
            sizes=frozenset({*buckets, (square, square), (window, window)}),
            square=(square, square),
            pictures=spec.max_batch,
        )

    def holds(self, sample: Tensor, states: Tensor) -> bool:
        """Whether latents of this shape, with these prompt embeddings, are painted by a compiled graph."""
        return tuple(sample.shape[-2:]) in self.sizes and states.shape[1] == TOKENS

    def exact(self, sample: Tensor) -> bool:
        """Whether there is a graph of exactly this shape: a row a picture, or two with guidance."""
        rows = (1, 2, self.pictures, 2 * self.pictures)
        return tuple(sample.shape[-2:]) == self.square and sample.shape[0] in rows

    def single(self, sample: Tensor) -> bool:
        """Whether it is a native square of one row, or of two: one picture, with guidance or without."""
        return tuple(sample.shape[-2:]) == self.square and sample.shape[0] <= 2


def scaled_bucket(bucket: tuple[int, int], native_size: int) -> tuple[int, int]:
    """(height, width) in latents of SDXL's (width, height) in pixels, for a model of that native size."""
    width, height = size_for(Fraction(*bucket), native_size)
    return height // LATENT, width // LATENT


def keep_compiled_in(folder: str) -> None:
    """Let this process keep compiled kernels in that folder, and take them from there.

    It holds what PyTorch pickles: nobody but the program may write into it. Raises `SettingRefused`
    where it cannot be made.
    """
    try:
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingRefused(setting="compile_folder", reason=str(error)) from error
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder


def compile_blocks(unet: Any, *, backend: str = "inductor") -> None:
    """Compile the transformer blocks alone, once for all of them: soon done, but a quarter of the work stays eager."""
    unet.compile_repeated_blocks(dynamic=True, backend=backend, recompile_limit=MOST_GRAPHS)


def compile_unet(unet: Any, bounds: Bounds, *, cuda_graphs: bool, backend: str = "inductor") -> None:
    """Compile the UNet within those bounds. With `cuda_graphs` a single picture's step is one launch."""
    unet.forward = CompiledForward(unet, bounds, cuda_graphs=cuda_graphs, backend=backend)


class CompiledForward:
    """A UNet's `forward` that chooses the graph for what it is given."""

    def __init__(self, unet: Any, bounds: Bounds, *, cuda_graphs: bool, backend: str) -> None:
        self._first_convolution = unet.conv_in
        self._bounds = bounds
        self._eager: Forward = unet.forward
        self._graphs = cuda_graphs
        # Graphs of their own: the compiler else takes an open graph for an exact shape, if that was made first.
        shared: dict[str, Any] = {"backend": backend, "isolate_recompiles": True, "recompile_limit": MOST_GRAPHS}
        self._exact: Forward = torch.compile(self._eager, dynamic=False, **shared)
        self._open: Forward = torch.compile(self._eager, dynamic=True, **shared)
        self._single: Forward = self._exact
        if cuda_graphs:
            self._single = torch.compile(self._eager, dynamic=False, mode="reduce-overhead", **shared)

    def __call__(self, sample: Tensor, timestep: Any, encoder_hidden_states: Tensor, **kwargs: Any) -> Any:
        arguments = {"encoder_hidden_states": encoder_hidden_states, **kwargs}
        seamless = self._first_convolution.padding_mode != "zeros"
        if seamless or not self._bounds.holds(sample, encoder_hidden_states):
            return self._eager(sample, timestep, **arguments)
        if self._graphs and self._bounds.single(sample):
            # The graph writes each step's result into the same memory, and samplers keep earlier ones.
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
            output = self._single(sample, timestep, **arguments)
            return (output[0].clone(), *output[1:])
        if self._bounds.exact(sample):
            return self._exact(sample, timestep, **arguments)
        return self._open(sample, timestep, **arguments)
