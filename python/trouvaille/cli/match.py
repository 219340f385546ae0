# SPDX-License-Identifier: Apache-2.0
"""`trouvaille match`: what two photos have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..geometry import PhotoMatches, draw_matches, match_photos
from ._app import FAILED, app, out, plain, print_json
from ._options import DescriptorOption, DetectorOption, OrientationOption


@app.command(
    epilog="Example: [bold]trouvaille match photo1.jpg photo2.jpg -o matches.png[/bold]; "
    "the exit code is 1 where the photos have nothing in common"
)
def match(
    photo1: Annotated[Path, typer.Argument(help="A photo.")],
    photo2: Annotated[Path, typer.Argument(help="Another.")],
    model: Annotated[
        str,
        typer.Option(
            help="What maps the one to the other: similarity, affine, homography; or fundamental, "
            "where the scene is not flat and the camera has moved."
        ),
    ] = "homography",
    detector: DetectorOption = None,
    descriptor: DescriptorOption = None,
    orientation: OrientationOption = None,
    features: Annotated[int, typer.Option(help="Local features a photo, at most.")] = 2000,
    size: Annotated[int, typer.Option(help="Longest side in pixels at which to work.")] = 1024,
    ratio: Annotated[
        float, typer.Option(help="How near the nearest must be beside the second nearest.")
    ] = 0.8,
    threshold: Annotated[float, typer.Option(help="Pixels by which a right match may miss.")] = 3.0,
    output: Annotated[
        Path | None,
        typer.Option("--output", "--out", "-o", help="A picture: .png, .jpg or .webp."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    threads: Annotated[int | None, typer.Option(help="Threads; by default all cores.")] = None,
) -> None:
    """Match two photos, and find how the one is mapped to the other."""
    chosen: dict[str, Any] = {"detector": detector or "sift", "descriptor": descriptor}
    if orientation is not None:
        chosen["orientation"] = orientation
    kind: Any = model  # the library says which there are
    found = match_photos(
        photo1,
        photo2,
        kind,
        **chosen,
        max_features=features,
        max_size=size,
        ratio=ratio,
        residual_threshold=threshold,
        threads=threads,
    )
    if output is not None:
        _draw(photo1, photo2, found, model, output)
    if as_json:
        print_json(_as_json(photo1, photo2, found, model))
    else:
        _print_matches(photo1, photo2, found, model)
        if output is not None:
            out.print(f"Picture: {plain(output)}", soft_wrap=True)
    if found.estimate.reason:
        raise typer.Exit(FAILED)


def _draw(photo1: Path, photo2: Path, found: PhotoMatches, model: str, output: Path) -> None:
    matrix, epipolar = found.estimate.model, model == "fundamental"
    draw_matches(
        photo1,
        photo2,
        found.x1,
        found.x2,
        inliers=found.estimate.inliers,
        model=None if epipolar else matrix,
        fundamental=matrix if epipolar else None,
        path=output,
    )


def _as_json(photo1: Path, photo2: Path, found: PhotoMatches, model: str) -> dict[str, Any]:
    estimated = found.estimate
    return {
        "photos": [str(photo1), str(photo2)],
        "features": [len(found.frames1), len(found.frames2)],
        "matches": len(found.matches),
        "inliers": estimated.n_inliers,
        "model": model,
        "matrix": None if estimated.reason else estimated.model.tolist(),
        "reason": estimated.reason,
    }


def _print_matches(photo1: Path, photo2: Path, found: PhotoMatches, model: str) -> None:
    for photo, frames in ((photo1, found.frames1), (photo2, found.frames2)):
        out.print(f"{plain(photo)}: {len(frames):,} features", soft_wrap=True)
    estimated, matches = found.estimate, f"{len(found.matches):,} matches"
    name = {"affine": "affine map", "fundamental": "fundamental matrix"}.get(model, model)
    if estimated.reason:
        out.print(f"{matches}, no {name}: {estimated.reason}", style="yellow", soft_wrap=True)
        return
    out.print(f"{matches}, {estimated.n_inliers:,} inliers of this {name}:", style="green")
    for row in estimated.model:
        out.print("".join(f"{x:>14.6g}" for x in row))
