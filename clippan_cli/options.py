"""Options that several commands share, each defined once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_SCENE, _REGION, _COMPUTE, _SHOW = "Scene", "Region", "Compute", "Messages"
_LANGUAGE = "Learning"
_OUTPUT, _METHOD = "Output", "Method"

MsFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--ms", metavar="FILE", help="MS raster; repeat for one-band files in band order.", rich_help_panel=_SCENE
    ),
]
PanFile = Annotated[
    str | None, typer.Option("--pan", metavar="FILE", help="Panchromatic raster.", rich_help_panel=_SCENE)
]
PanBand = Annotated[
    int | None,
    typer.Option("--pan-band", metavar="N", help="Band of the PAN file, where it has several.", rich_help_panel=_SCENE),
]
SensorName = Annotated[
    str,
    typer.Option(
        "--sensor",
        metavar="auto|NAME|FILE.toml",
        help="Whose nominal MTF stands where the pair does not tell.",
        rich_help_panel=_SCENE,
    ),
]
CoregisterMode = Annotated[
    str,
    typer.Option(
        "--coregister",
        metavar="auto|off",
        help="Estimate and compensate the shift of each MS band against PAN.",
        rich_help_panel=_SCENE,
    ),
]
AssumeAligned = Annotated[
    bool,
    typer.Option(
        "--assume-aligned",
        help="Without georeferencing, take MS and PAN to cover the same ground.",
        rich_help_panel=_SCENE,
    ),
]
AllowVrt = Annotated[
    bool, typer.Option("--allow-vrt", help="Read VRT files; they can read any other file.", rich_help_panel=_SCENE)
]
AllowRemote = Annotated[
    bool, typer.Option("--allow-remote", help="Read https://, s3:// and /vsicurl/ paths.", rich_help_panel=_SCENE)
]
Extent = Annotated[
    str,
    typer.Option(
        "--extent",
        metavar="intersection|pan",
        help="Output grid: the overlap with MS, or all of PAN.",
        rich_help_panel=_REGION,
    ),
]
BoundingBox = Annotated[
    str | None,
    typer.Option(
        "--bbox",
        metavar="L,B,R,T",
        help="Only this box: left, bottom, right, top, with commas or spaces.",
        rich_help_panel=_REGION,
    ),
]
BoundingBoxCrs = Annotated[
    str | None,
    typer.Option(
        "--bbox-crs",
        metavar="CRS",
        help="CRS of --bbox, e.g. EPSG:4326; that of PAN if not given.",
        rich_help_panel=_REGION,
    ),
]
AreaOfInterest = Annotated[
    Path | None,
    typer.Option("--aoi", metavar="FILE.geojson", help="Only the polygons of this file.", rich_help_panel=_REGION),
]
Device = Annotated[
    str, typer.Option("--device", metavar="auto|cpu|cuda[:i]|mps", help="Where to compute.", rich_help_panel=_COMPUTE)
]
Threads = Annotated[
    int | None,
    typer.Option(
        "-j", "--threads", metavar="N", help="CPU threads; as many as there are if not given.", rich_help_panel=_COMPUTE
    ),
]
Ram = Annotated[int, typer.Option("--ram", metavar="MB", help="Memory to plan tiles for.", rich_help_panel=_COMPUTE)]
TileSide = Annotated[
    int | None,
    typer.Option(
        "--tile",
        metavar="N",
        help="Side of a tile in PAN pixels; planned from --ram if not given.",
        rich_help_panel=_COMPUTE,
    ),
]
Seed = Annotated[
    int, typer.Option("--seed", metavar="N", help="Of everything drawn at random.", rich_help_panel=_COMPUTE)
]
Clip = Annotated[
    str,
    typer.Option(
        "--clip",
        metavar="NAME|FILE",
        help="The CLIP that judges: auto, embedded, MODEL:PRETRAINED, a .safetensors file, or none.",
        rich_help_panel=_LANGUAGE,
    ),
]
Prompt = Annotated[
    str | None,
    typer.Option(
        "--prompt", metavar="TEXT", help="What a good image is, in your own words.", rich_help_panel=_LANGUAGE
    ),
]
PromptSet = Annotated[
    str,
    typer.Option(
        "--prompts",
        metavar="NAME|FILE",
        help="The texts to compare with: wald, khan, i, ii, noise, or a .toml file.",
        rich_help_panel=_LANGUAGE,
    ),
]
Stem = Annotated[
    str,
    typer.Option(
        "--stem",
        metavar="NAME",
        help="How the bands become the three that CLIP sees: conv, pca, rgb or gbnir.",
        rich_help_panel=_LANGUAGE,
    ),
]
Stage1Steps = Annotated[
    int | None,
    typer.Option(
        "--stage1-steps",
        metavar="N",
        help="Steps in which CLIP adapts to the scene; 100, or none for the embedded CLIP, if not given.",
        rich_help_panel=_LANGUAGE,
    ),
]
Stage1Loss = Annotated[
    str,
    typer.Option(
        "--stage1-loss",
        metavar="TERM,...",
        help="The terms of the loss in these steps: inter, intra, fusion.",
        rich_help_panel=_LANGUAGE,
    ),
]
Loss = Annotated[
    str | None,
    typer.Option(
        "--loss",
        metavar="TERM[=WEIGHT],...",
        help="Only these terms: spec, spat, qnr, rho, ship, d, wald. All unless given.",
        rich_help_panel=_LANGUAGE,
    ),
]
Teacher = Annotated[
    str,
    typer.Option(
        "--teacher",
        metavar="NAME",
        help="Whose images the network also learns from: self, bdsd-pc, mtf-glp-hpm-r, gsa, a backbone such as ship, "
        "or none.",
        rich_help_panel=_LANGUAGE,
    ),
]
Backbone = Annotated[
    str | None,
    typer.Option(
        "--backbone",
        metavar="NAME",
        help="The network that learns, see clippan models list; if not given, that of --weights or the usual one.",
        rich_help_panel=_LANGUAGE,
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="FILE.safetensors",
        help="What a network has learned before: learning goes on from it, or, with --steps 0, does without.",
        rich_help_panel=_LANGUAGE,
    ),
]
SaveWeights = Annotated[
    Path | None,
    typer.Option(
        "--save-weights",
        metavar="FILE.safetensors",
        help="Keep what the network learns, for --weights.",
        rich_help_panel=_LANGUAGE,
    ),
]
Projection = Annotated[
    bool,
    typer.Option(
        "--projection/--no-projection",
        help="Keep the result consistent with MS and PAN by construction.",
        rich_help_panel=_LANGUAGE,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.", rich_help_panel=_SHOW)]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress and no notes.", rich_help_panel=_SHOW)]
Verbose = Annotated[
    int,
    typer.Option(
        "-v", "--verbose", count=True, help="Say more; twice: tracebacks of errors too.", rich_help_panel=_SHOW
    ),
]
Method = Annotated[
    str,
    typer.Option(
        "--method",
        metavar="NAME",
        help="exp, brovey, gsa, mtf-glp-fs, mtf-glp-hpm-r, bdsd-pc, sr-d, network, or clippan.",
        rich_help_panel=_METHOD,
    ),
]
PresetName = Annotated[
    str,
    typer.Option(
        "--preset", metavar="NAME", help="How much time to spend: fast, balanced or best.", rich_help_panel=_METHOD
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        "--steps",
        metavar="N",
        help="Optimiser steps of the network; the preset's if not given.",
        rich_help_panel=_METHOD,
    ),
]
TimeLimit = Annotated[
    float | None,
    typer.Option("--time-limit", metavar="SECONDS", help="Stop adapting after this long.", rich_help_panel=_METHOD),
]
Driver = Annotated[str, typer.Option("--of", metavar="cog|gtiff", help="Output format.", rich_help_panel=_OUTPUT)]
Compress = Annotated[
    str, typer.Option("--compress", metavar="NAME", help="deflate, zstd, lzw, none ...", rich_help_panel=_OUTPUT)
]
CreationOptions = Annotated[
    list[str] | None,
    typer.Option("--co", metavar="KEY=VALUE", help="GDAL creation option; repeat.", rich_help_panel=_OUTPUT),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.", rich_help_panel=_OUTPUT)]
MeasureQuality = Annotated[
    bool,
    typer.Option("--quality/--no-quality", help="Measure the result when it is done.", rich_help_panel=_OUTPUT),
]
PairsOut = Annotated[
    Path | None,
    typer.Option("--pairs-out", metavar="FILE.csv", help="Write the pairs as a CSV file.", rich_help_panel="Batch"),
]
