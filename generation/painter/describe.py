"""What this machine can draw with, as JSON: `python -m generation.painter.describe '{"devices": ["auto"], …}'`.

For `doctor`, which must not load torch itself. The argument has `devices` and `dtype` as in the settings, `source` and
`variant` of a model, and `classifier` and `label` of an image classifier ('' for none); nothing is downloaded.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import torch

from generation.engine.settings import PainterSettings
from generation.errors import ModelUnavailable
from generation.painter.checkpoints import WrongCheckpoint, check_folder, check_single_file
from generation.painter.devices import choose_placement
from generation.painter.safety import SafetyClassifier
from generation.weights import MODEL_INDEX, NETWORK_CONFIG

GIB = 2**30


def describe(
    *, devices: list[str], dtype: str, source: str, variant: str | None, classifier: str, label: str
) -> dict[str, Any]:
    """torch's version; each device with its number format and memory in GiB, or why it cannot be used; the model's and
    the classifier's state: `found`, `absent` (it is to be downloaded), `wrong`, with the reason, or `none`."""
    return {
        "torch": torch.__version__,
        "devices": [_device(PainterSettings(device=name, dtype=dtype)) for name in devices],  # type: ignore[arg-type]
        "model": _model(source, variant),
        "classifier": _classifier(classifier, label) if classifier else {"state": "none", "reason": ""},
    }


def _device(settings: PainterSettings) -> dict[str, Any]:
    try:
        placement = choose_placement(settings)
    except ModelUnavailable as error:
        return {"asked": settings.device, "problem": error.fields["reason"]}
    device = placement.device
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        total = torch.cuda.get_device_properties(device).total_memory
    else:  # both share the machine's memory
        name = f"{torch.get_num_threads()} threads" if device.type == "cpu" else "Apple GPU"
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "asked": settings.device,
        "device": str(device),
        "name": name,
        "dtype": str(placement.dtype).removeprefix("torch."),
        "gib": round(total / GIB, 1),
    }


def _model(source: str, variant: str | None) -> dict[str, str]:
    path = Path(source)
    try:
        if path.is_dir():
            check_folder(path, variant)
        elif path.is_absolute() or path.exists():
            check_single_file(path)
        else:
            cached = huggingface_hub.try_to_load_from_cache(source, MODEL_INDEX)
            if not isinstance(cached, str):
                return {"state": "absent", "reason": ""}
            check_folder(Path(cached).parent, variant)
    except WrongCheckpoint as error:
        return {"state": "wrong", "reason": str(error)}
    except huggingface_hub.errors.HFValidationError:
        return {"state": "wrong", "reason": f"{source} is neither a path here nor a Hugging Face id"}
    return {"state": "found", "reason": ""}


def _classifier(source: str, label: str) -> dict[str, str]:
    """Loaded as a worker would, and tried: whoever relies on it wants to know."""
    folder = Path(source)
    if not folder.is_absolute() and not folder.exists():
        try:
            cached = huggingface_hub.try_to_load_from_cache(source, NETWORK_CONFIG)
        except huggingface_hub.errors.HFValidationError:
            return {"state": "wrong", "reason": f"{source} is neither a path here nor a Hugging Face id"}
        if not isinstance(cached, str):
            return {"state": "absent", "reason": ""}
        folder = Path(cached).parent
    try:
        SafetyClassifier.load(str(folder), label, choose_placement(PainterSettings(device="cpu")))
    except ModelUnavailable as error:
        return {"state": "wrong", "reason": str(error.fields["reason"])}
    return {"state": "found", "reason": ""}


if __name__ == "__main__":
    print(json.dumps(describe(**json.loads(sys.argv[1]))))  # noqa: T201 - this is its answer
