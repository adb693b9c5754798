"""LoRAs on a loaded model: each is read once, then switched on and off by weight."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
from safetensors import SafetensorError

from generation.catalogue import LoraSpec
from generation.errors import ModelUnavailable
from generation.recipe import LoraUse
from generation.safetensors_header import read_header

# Adapters kept on the device. SDXL's weigh 50 to 400 MB each; a recipe uses at most four.
CAPACITY = 8


class Adapters:
    """The LoRAs of one model. With none switched on, pictures are the base model's to the bit."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._loaded: dict[str, tuple[object, ...]] = {}  # name → which file it is from; least recently used first
        self._touched = False  # whether adapters were ever put into the modules, also ones that failed

    @property
    def loaded(self) -> tuple[str, ...]:
        """The adapters that are on the device, the least recently used first."""
        return tuple(self._loaded)

    def switch(self, uses: Iterable[LoraUse], specs: Sequence[LoraSpec]) -> None:
        """Let exactly these LoRAs act, with these weights; weight 0 is as good as none.

        Raises `ModelUnavailable` for a LoRA that is not among `specs`, cannot be read or does not fit the model.
        """
        weights: dict[str, float] = {}
        for use in uses:
            weights[use.name] = weights.get(use.name, 0.0) + use.weight
        weights = {name: weight for name, weight in weights.items() if weight != 0}
        if not weights:
            if self._touched:
                self._pipeline.disable_lora()
            return
        by_name = {spec.name: spec for spec in specs}
        for name in weights:
            if name not in by_name:
                raise _unusable(name, "its file was not found")
            self._ensure_loaded(by_name[name], keep=weights)
        self._pipeline.enable_lora()
        self._pipeline.set_adapters([_adapter(name) for name in weights], adapter_weights=list(weights.values()))

    def _ensure_loaded(self, spec: LoraSpec, keep: Iterable[str]) -> None:
        try:
            status = spec.path.stat()
        except OSError as error:
            raise _unusable(spec.name, f"its file cannot be read: {error.strerror}") from error
        version = (spec.path, status.st_mtime_ns, status.st_size)
        if self._loaded.get(spec.name) != version:
            self._drop(spec.name)  # another file by that name since
            self._make_room(keep)
            self._load(spec)
        self._loaded.pop(spec.name, None)
        self._loaded[spec.name] = version

    def _make_room(self, keep: Iterable[str]) -> None:
        kept = set(keep)
        for name in [name for name in self._loaded if name not in kept][: max(0, len(self._loaded) + 1 - CAPACITY)]:
            self._drop(name)

    def _drop(self, name: str) -> None:
        if self._loaded.pop(name, None) is not None:
            self._remove_traces(_adapter(name))

    def _load(self, spec: LoraSpec) -> None:
        adapter = _adapter(spec.name)
        self._touched = True
        try:
            with _peft_quiet():
                self._pipeline.load_lora_weights(
                    str(spec.path.parent),
                    weight_name=spec.path.name,
                    adapter_name=adapter,
                    use_safetensors=True,
                    local_files_only=True,
                )
            used = self._count_layers(adapter)
        except (OSError, ValueError, RuntimeError, LookupError, AttributeError, SafetensorError) as error:
            self._remove_traces(adapter)
            reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
            raise _unusable(spec.name, f"it does not fit the model ({reason})") from error
        if used == 0:
            self._remove_traces(adapter)
            raise _unusable(spec.name, "none of its layers are the model's")
        if used < (stored := _count_stored_layers(spec)):
            structlog.get_logger(__name__).warning("lora_used_in_part", lora=spec.name, layers=used, of=stored)

    def _count_layers(self, adapter: str) -> int:
        components = (getattr(self._pipeline, part) for part in self._pipeline.get_list_adapters())
        return sum(
            name.endswith(f".lora_A.{adapter}") for component in components for name, _ in component.named_modules()
        )

    def _remove_traces(self, adapter: str) -> None:
        if any(adapter in adapters for adapters in self._pipeline.get_list_adapters().values()):
            with _peft_quiet():
                self._pipeline.delete_adapters(adapter)


@contextmanager
def _peft_quiet() -> Iterator[None]:
    """Without peft's warnings that a model has several adapters, and that another becomes active when one is deleted.

    Both are meant: which are active is set before each batch.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Already found a `peft_config`")
        warnings.filterwarnings("ignore", message="Adapter .* was active which is now deleted")
        yield


def _adapter(name: str) -> str:
    """peft keeps adapters in module dictionaries, whose keys must not be names of their methods (`keys`, `pop`, …)."""
    return f"limner_{name}"


def _count_stored_layers(spec: LoraSpec) -> int:
    return sum(
        ".lora_A." in name or "lora_down." in name or "lora.down." in name for name in read_header(spec.path).shapes
    )


def _unusable(name: str, reason: str) -> ModelUnavailable:
    return ModelUnavailable(name=f"LoRA {name}", reason=reason)
