"""Train the prior on a folder of images: `python -m prior_training.train --help`.

A tool for those who maintain the weights; users never run it. It prints, which library code does not. A training that
was stopped continues where it was, if given the same options.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path

import torch

from clippan_models.errors import ClippanError
from prior_training.batches import SimulatedBatches
from prior_training.images import read_images, synthetic_images
from prior_training.learning import PriorTraining, TrainOptions, mean_gain

HELD_OUT_SEED = 900_000
"""First seed of the synthetic scenes for validation."""

_EVERY = 25  # steps between lines
_VALIDATE = 250
_SYNTHETIC_SIDE = 512


def main(arguments: list[str] | None = None) -> int:
    """Parse and train; returns the exit code."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        return _train(options)
    except ClippanError as error:
        print(error, file=sys.stderr)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m prior_training.train", description=__doc__)
    parser.add_argument("images", type=Path, help="folder of .npz files")
    parser.add_argument("--checkpoint", type=Path, required=True, help="written as training goes on, and resumed")
    parser.add_argument("--out", type=Path, help="write the weights here at the end, as they ship (.safetensors)")
    parser.add_argument("--begin-with", type=Path, help="weights to begin with, as --out writes them")
    parser.add_argument("--held-out", nargs="*", default=[], help="beginnings of names of images to validate on")
    parser.add_argument("--validation", type=int, default=12, help="batches of held-out pairs to validate on")
    parser.add_argument("--synthetic", type=int, default=120, help="number of synthetic scenes")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--pairs", type=int, default=4, help="pairs a step")
    parser.add_argument("--patches", type=int, default=2, help="patches of each pair")
    parser.add_argument("--repeats", type=int, default=1, help="steps that learn from a batch, each turned another way")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after so many, to be resumed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1, help="processes that simulate pairs")
    parser.add_argument("--device", default="cpu")
    return parser


def _train(options: argparse.Namespace) -> int:
    train, held_out = read_images(options.images, options.held_out)
    synthetic = synthetic_images(options.synthetic, options.seed, _SYNTHETIC_SIDE)
    batches = SimulatedBatches(train, synthetic, options.seed, options.pairs, options.steps, options.patches)
    kept = SimulatedBatches(
        held_out or train,
        synthetic_images(2, HELD_OUT_SEED, _SYNTHETIC_SIDE),
        HELD_OUT_SEED,
        pairs=2,
        steps=options.validation,
    )
    validation = [kept[number] for number in range(len(kept))]
    print(f"{len(train)} images, {len(held_out)} held out, {len(synthetic)} synthetic scenes", flush=True)

    training = PriorTraining(
        TrainOptions(
            options.steps, options.learning_rate, options.seed, options.workers, options.seconds, options.repeats
        ),
        options.device,
    )
    if options.begin_with is not None:
        training.begin_with(options.begin_with)
    if options.checkpoint.exists():
        training.resume(options.checkpoint)
        print(f"resumed after step {training.step}", flush=True)
    began, recent = time.monotonic(), []

    def report(step: int, loss: float, gain: float) -> None:
        recent.append((loss, gain))
        if step % _EVERY == 0:
            means = [sum(values) / len(recent) for values in zip(*recent, strict=True)]
            print(
                f"step {step}  {time.monotonic() - began:.0f} s  loss {means[0]:.4f}  gain {means[1]:+.2f} dB",
                flush=True,
            )
            recent.clear()
        if step % _VALIDATE == 0:
            training.save(options.checkpoint)
            print(f"  held out: {mean_gain(training.mean, validation, options.device):+.3f} dB", flush=True)

    training.run(batches, report)
    training.save(options.checkpoint)
    if options.out is not None:
        about = {"images": str(len(train)), "held_out": " ".join(options.held_out), "seed": str(options.seed)}
        training.export(options.out, about)
    print(f"{training.step} steps; held out: {mean_gain(training.mean, validation, options.device):+.3f} dB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
