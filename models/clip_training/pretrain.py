"""Train the embedded CLIP, or evaluate its weights: `python -m clip_training.pretrain --help`.

A tool for those who maintain the weights; users never run it. It prints, which library code does not.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np
import torch

from clip_training.corpus import Corpus
from clip_training.fusions import fused_scenes, natural_images
from clip_training.held_out import evaluate, table
from clip_training.pretraining import PretrainOptions, Step, pretrain
from clip_training.scenes import TruthScene, read_scenes, synthetic_scene
from clip_training.weights import load_embedded, save_embedded
from clippan_models.errors import ClippanError
from clippan_models.guidance.embedded import build_embedded
from prior_training.images import read_images

HELD_OUT_SEED = 900_000
"""First seed of the synthetic scenes for evaluation; training begins at its own seed and must end below."""

_TERMS = ("loss", "contrast", "rank", "direction")
_EVERY = 25  # steps between lines
_CHECKPOINT = 200  # steps between files


def main(arguments: list[str] | None = None) -> int:
    """Parse, train or evaluate; returns the exit code."""
    options = _parser().parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        return _evaluate(options) if options.evaluate else _train(options)
    except ClippanError as error:
        print(error, file=sys.stderr)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m clip_training.pretrain", description=__doc__)
    job = parser.add_mutually_exclusive_group(required=True)
    job.add_argument("--out", type=Path, help="train, and write the weights here (.safetensors)")
    job.add_argument("--evaluate", type=Path, help="evaluate these weights on held-out scenes")
    parser.add_argument(
        "--images", type=Path, help="folder of .npz, as prior_training takes it, to simulate pairs from"
    )
    parser.add_argument("--held-out", nargs="*", default=[], help="beginnings of names of images to evaluate on")
    parser.add_argument("--fused", type=int, default=400, help="number of pairs to simulate and fuse")
    parser.add_argument(
        "--scenes",
        type=Path,
        nargs="*",
        default=[],
        help="with --evaluate: folders of .npz, ms [4, h, w] (B, G, R, NIR)",
    )
    parser.add_argument("--synthetic", type=int, default=240, help="number of scenes drawn from seeds")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=128, help="samples a step, in groups of eight")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--time-limit", type=float, default=math.inf, help="seconds of training")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bfloat16", action="store_true", help="faster where the processor has it")
    parser.add_argument("--crops", type=int, default=128, help="with --evaluate: crops of each scene")
    return parser


def _train(options: argparse.Namespace) -> int:
    synthetic = [synthetic_scene(options.seed + number) for number in range(options.synthetic)]
    corpus = Corpus(synthetic, _fused(options, options.fused, held_out=False))
    print(f"{len(corpus.synthetic)} synthetic scenes, {len(corpus.fused)} fused ones", flush=True)
    torch.manual_seed(options.seed)
    model = build_embedded()
    training = PretrainOptions(
        steps=options.steps,
        groups=max(2, options.batch // 8),
        seed=options.seed,
        learning_rate=options.learning_rate,
        warm_up=min(100, max(1, options.steps // 10)),
        time_limit=options.time_limit,
        bfloat16=options.bfloat16,
    )
    recent: list[Step] = []

    def save(steps: int) -> None:
        about = {
            "seed": options.seed,
            "steps": steps,
            "samples_a_step": 8 * training.groups,
            "learning_rate": options.learning_rate,
            "synthetic_scenes": len(corpus.synthetic),
            "fused_scenes": len(corpus.fused),
            "torch": torch.__version__,
        }
        save_embedded(model, options.out, about)

    def report(step: Step) -> None:
        recent.append(step)
        if step.number % _EVERY == 0 or step.number == 1:
            terms = (f"{name} {np.mean([getattr(s, name) for s in recent]):.3f}" for name in _TERMS)
            print(f"step {step.number:5d}  {step.seconds:6.0f} s  {'  '.join(terms)}", flush=True)
            recent.clear()
        if step.number % _CHECKPOINT == 0:
            save(step.number)

    steps = pretrain(model, corpus, training, options.device, report)
    save(steps)
    print(f"wrote {options.out} after {steps} steps")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    model = load_embedded(options.evaluate).to(options.device)
    real = _read(options.scenes)
    synthetic = [synthetic_scene(HELD_OUT_SEED + options.seed + number) for number in range(8)]
    sets: dict[str, list[TruthScene]] = {scene.name: [scene] for scene in real} | {"synthetic": synthetic}
    if fused := _fused(options, 16, held_out=True):
        sets["fused"] = fused
    figures = {
        name: evaluate(model, scenes, max(1, options.crops // len(scenes)), options.seed, options.device)
        for name, scenes in sets.items()
    }
    print(table(figures))
    print(json.dumps(figures))
    return 0


def _fused(options: argparse.Namespace, count: int, *, held_out: bool) -> list[TruthScene]:
    """Pairs simulated from the images of the folder and fused; none without a folder."""
    if options.images is None:
        return []
    images = natural_images(read_images(options.images, options.held_out)[held_out])
    return fused_scenes(images, count, options.seed + HELD_OUT_SEED * held_out) if images else []


def _read(folders: list[Path]) -> list[TruthScene]:
    rng = np.random.default_rng(0)
    return [scene for folder in folders for scene in read_scenes(folder, rng)]


if __name__ == "__main__":
    sys.exit(main())
