"""Real image classifiers of transformers, so small that they look at a picture in milliseconds: they see red."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    BitImageProcessorPil,
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessorPil,
)

LABELS = {0: "normal", 1: "nsfw"}
ENOUGH = 0.25  # of the picture in red: a score of one half
SHARPNESS = 60.0


def save_red_seer(folder: Path, *, centre_only: bool = False, separate: bool = False) -> Path:
    """A ResNet whose logit of `nsfw` rises with the share of the picture that is red and not green.

    `centre_only`: its preprocessing cuts a square from the middle, as CLIP's does. `separate`: its labels do not
    exclude each other, so that each has a probability of its own.
    """
    network = ResNetForImageClassification(
        ResNetConfig(
            embedding_size=4,
            hidden_sizes=[4],
            depths=[1],
            layer_type="basic",
            hidden_act="relu",
            id2label=LABELS,
            label2id={label: index for index, label in LABELS.items()},
            problem_type="multi_label_classification" if separate else "single_label_classification",
        )
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()  # the block behind the first convolution then adds nothing to what it is given
        first = network.resnet.embedder.embedder
        first.convolution.weight[0, 0, 3, 3] = 1
        first.convolution.weight[0, 1, 3, 3] = -1
        first.normalization.weight.fill_(1)
        head = network.classifier[1]
        head.weight[1, 0] = SHARPNESS
        head.bias[1] = -SHARPNESS * ENOUGH
    network.save_pretrained(folder)
    if centre_only:
        processor = BitImageProcessorPil(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, do_normalize=False
        )
    else:
        processor = ViTImageProcessorPil(size={"height": 32, "width": 32}, do_normalize=False)
    processor.save_pretrained(folder)
    return folder


def save_vit(folder: Path, *, broken: bool = False) -> Path:
    """A ViT of random weights, in the layout of `Falconsai/nsfw_image_detection`; `broken`: it says NaN."""
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=8,
        id2label=LABELS,
        label2id={label: index for index, label in LABELS.items()},
    )
    network = ViTForImageClassification(config)
    if broken:
        with torch.no_grad():
            network.classifier.bias.fill_(torch.nan)
    network.save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder
