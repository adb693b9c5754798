"""`python -m generation.pocket.train`: makes Pocket SDXL from nothing.

Stages, each resumable from what is in the work folder: scenes → vae → latents → unet → export → loras → lcm → refiner →
segmenter → upscaler → safety. Those after the export only read the exported model.
"""

from __future__ import annotations

import argparse
from pathlib import Path

STAGES = ("scenes", "vae", "latents", "unet", "export", "loras", "lcm", "refiner", "segmenter", "upscaler", "safety")
HERE = Path(__file__).parent


def main(arguments: list[str] | None = None) -> None:
    """Run the named stages (all of them by default) in order."""
    parser = argparse.ArgumentParser(prog="python -m generation.pocket.train", description=__doc__)
    parser.add_argument("stages", nargs="*", metavar="stage", help=f"of {', '.join(STAGES)}; all by default")
    parser.add_argument("--work", type=Path, default=Path("data/pocket-training"), help="where checkpoints are kept")
    parser.add_argument("--scenes", type=int, default=36_000, help="how many scenes to render")
    parser.add_argument("--vae-minutes", type=float, default=16.0)
    parser.add_argument("--unet-minutes", type=float, default=100.0)
    parser.add_argument("--unet-learning-rate", type=float, default=1e-3, help="at the start of the line down to 0")
    parser.add_argument("--lora-minutes", type=float, default=6.0, help="for each of the two")
    parser.add_argument("--lcm-minutes", type=float, default=8.0, help="of processor time, as for those that follow")
    parser.add_argument("--refiner-minutes", type=float, default=4.0)
    parser.add_argument("--segmenter-minutes", type=float, default=6.0)
    parser.add_argument("--upscaler-minutes", type=float, default=4.0)
    parser.add_argument("--safety-minutes", type=float, default=4.0)
    parser.add_argument("--encoded-share", type=float, default=0.5, help="share of the scenes that the UNet is shown")
    parser.add_argument("--model", type=Path, default=HERE / "weights", help="where to export to")
    parser.add_argument("--loras", type=Path, default=HERE / "loras", help="where LoRAs are written")
    parser.add_argument("--extras", type=Path, default=HERE, help="where the last four write their folders")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if unknown := set(options.stages) - set(STAGES):
        parser.error(f"unknown stage {min(unknown)!r}; there are {', '.join(STAGES)}")
    for stage in STAGES:
        if not options.stages or stage in options.stages:
            run_stage(stage, options)


def run_stage(stage: str, options: argparse.Namespace) -> None:
    """Run one stage. Imports stand here because rendering needs no torch and spawned renderers must not load it."""
    match stage:
        case "scenes":
            from generation.pocket.dataset import render_dataset

            render_dataset(options.work, options.scenes)
        case "vae":
            from generation.pocket.vae_training import train_vae

            train_vae(options.work, options.vae_minutes, options.seed)
        case "latents":
            from generation.pocket.latents import encode_dataset

            encode_dataset(options.work, options.encoded_share)
        case "unet":
            from generation.pocket.unet_training import train_unet

            train_unet(options.work, options.unet_minutes, options.unet_learning_rate, options.seed)
        case "export":
            from generation.pocket.export import export_model

            export_model(options.work, options.model)
        case "loras":
            from generation.pocket.lora_training import train_loras

            train_loras(options.work, options.model, options.loras, options.lora_minutes, options.seed)
        case "lcm":
            from generation.pocket.lcm_training import train_lcm

            train_lcm(options.work, options.model, options.loras, options.lcm_minutes, options.seed)
        case "refiner":
            from generation.pocket.refiner_training import train_refiner

            folder = options.extras / "refiner"
            train_refiner(options.work, options.model, folder, options.refiner_minutes, options.seed)
        case "segmenter":
            from generation.pocket.segmentation_training import train_segmenter

            folder = options.extras / "segmenter"
            train_segmenter(options.work, options.model, folder, options.segmenter_minutes, options.seed)
        case "upscaler":
            from generation.pocket.upscaler_training import train_upscaler

            folder = options.extras / "upscaler"
            train_upscaler(options.work, options.model, folder, options.upscaler_minutes, options.seed)
        case "safety":
            from generation.pocket.safety_training import train_safety

            train_safety(options.work, options.model, options.extras / "safety", options.safety_minutes, options.seed)


if __name__ == "__main__":
    main()
