"""Every error that Limner raises on purpose.

    LimnerError
    ├── RequestRejected            the person's order cannot be taken; they are told why, nothing is charged
    │   ├── InvalidRecipe          a value of the recipe is out of its range
    │   ├── InvalidAspect          not W:H, or outside 1:4 to 4:1
    │   ├── UnknownName            no model, style, LoRA or embedding of that name
    │   ├── LoraRefused            the LoRA's file was made for another architecture, or is not a LoRA
    │   ├── EmbeddingRefused       the same of an embedding's
    │   └── (generation.prompt_language, generation.intake, bot and storage add their own leaves)
    ├── WorkerError                one attempt failed; the job may be tried again
    │   ├── OutOfMemory            the device's memory did not hold the batch
    │   ├── WorkerLost             the worker's process died or stopped answering
    │   ├── PictureUnchecked       the image classifier did not look at a picture, so it must not be delivered
    │   └── PaintingFailed         anything else that went wrong while painting
    ├── ModelUnavailable           weights are missing, broken, pickled or of the wrong kind: trying again is of no use
    ├── SettingRefused             a setting asks for what this machine cannot do
    ├── NothingFound               what a mask's words name is not to be seen in the source
    ├── MaskEmpty                  a mask keeps everything, so that there is nothing to paint
    ├── PaintingCancelled          the batch was cancelled on request
    └── EngineDead                 no worker can be started any more: restart the program

Exceptions carry data, not sentences: `bot/errors.py` words them from the message catalogue by `key` and `fields`.
"""

from __future__ import annotations

from typing import ClassVar


class LimnerError(Exception):
    """Base of all errors raised on purpose. `fields` fill the placeholders of the catalogue's sentence for `key`."""

    key: ClassVar[str] = "error"

    def __init__(self, **fields: object) -> None:
        super().__init__(fields)
        self.fields = fields

    def __str__(self) -> str:
        details = ", ".join(f"{name}={value!r}" for name, value in self.fields.items())
        return f"{self.key}({details})"

    def __reduce__(self) -> tuple[object, ...]:  # keyword-only arguments: pickle's default would lose them
        return _rebuild, (type(self), self.fields)


def _rebuild(kind: type[LimnerError], fields: dict[str, object]) -> LimnerError:
    return kind(**fields)


class RequestRejected(LimnerError):
    """The person's order cannot be taken. Nothing was queued and nothing charged."""

    key = "request_rejected"


class InvalidRecipe(RequestRejected):
    """A value is out of its range. Fields: `name`, `value`, `allowed`."""

    key = "invalid_recipe"


class InvalidAspect(RequestRejected):
    """An aspect ratio is not W:H in whole numbers from 1:4 to 4:1. Fields: `value`."""

    key = "invalid_aspect"


class UnknownName(RequestRejected):
    """Nothing of that kind has that name. Fields: `kind` (model, style, lora, embedding), `name`, `nearest` (or '')."""

    key = "unknown_name"


class LoraRefused(RequestRejected):
    """A LoRA cannot be used with the chosen model. Fields: `name`, `model`, `reason`."""

    key = "lora_refused"


class EmbeddingRefused(RequestRejected):
    """A textual inversion cannot be used with the chosen model. Fields: `name`, `model`, `reason`."""

    key = "embedding_refused"


class WorkerError(LimnerError):
    """One attempt at a batch failed. Fields: `detail`."""

    key = "worker_error"


class OutOfMemory(WorkerError):
    """The device's memory did not hold the batch. Fields: `detail`."""

    key = "out_of_memory"


class WorkerLost(WorkerError):
    """The worker's process died or stopped answering. Fields: `detail`."""

    key = "worker_lost"


class PictureUnchecked(WorkerError):
    """A picture that was to be looked at by the image classifier was not. Fields: `detail`."""

    key = "picture_unchecked"


class PaintingFailed(WorkerError):
    """Painting raised something unforeseen. Fields: `detail`."""

    key = "painting_failed"


class ModelUnavailable(LimnerError):
    """Weights are missing, broken, pickled or of the wrong kind. Fields: `name`, `reason`."""

    key = "model_unavailable"


class SettingRefused(LimnerError):
    """A setting asks for what this machine or another setting does not allow. Fields: `setting`, `reason`."""

    key = "setting_refused"


class NothingFound(LimnerError):
    """What a mask's words name is not to be seen in the source. Fields: `words`."""

    key = "nothing_found"


class MaskEmpty(LimnerError):
    """A mask keeps everything, so that there is nothing to paint."""

    key = "mask_empty"


class PaintingCancelled(LimnerError):
    """The batch was cancelled on request."""

    key = "painting_cancelled"


class EngineDead(LimnerError):
    """No worker can be started any more. Fields: `detail`."""

    key = "engine_dead"
