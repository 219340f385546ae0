# SPDX-License-Identifier: Apache-2.0
"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

from ..features import DESCRIPTORS, DETECTORS
from ..features.registry import DESCRIPTOR_ALIASES, DETECTOR_ALIASES

DetectorOption = Annotated[
    str | None,
    typer.Option(
        help=f"What finds features: {', '.join(sorted({*DETECTORS, *DETECTOR_ALIASES}))}.",
        show_default="sift",
    ),
]
DescriptorOption = Annotated[
    str | None,
    typer.Option(
        help=f"What describes them: {', '.join(sorted({*DESCRIPTORS, *DESCRIPTOR_ALIASES}))}.",
        show_default="the detector's own",
    ),
]
FeaturesOption = Annotated[
    int | None, typer.Option(help="Local features a photo, at most.", show_default="2000")
]
SizeOption = Annotated[
    int | None,
    typer.Option(help="Longest side in pixels at which to work.", show_default="1024"),
]
WorkersOption = Annotated[int | None, typer.Option(help="Threads; by default all cores.")]
OrientationOption = Annotated[
    str | None,
    typer.Option(
        help="Turn each feature to its dominant gradients, or let up be up: dominant, upright.",
        show_default="dominant",
    ),
]
