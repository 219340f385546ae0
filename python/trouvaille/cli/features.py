# SPDX-License-Identifier: Apache-2.0
"""`trouvaille extract` and `trouvaille draw`: local features alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .. import images
from ..features import Extractor, FolderReport, extract_folder
from ..features import draw as draw_features
from ._app import FAILED, Interrupted, app, err, out, plain, progress_bars
from ._options import DescriptorOption, DetectorOption, OrientationOption, WorkersOption


@app.command(
    epilog="Example: [bold]trouvaille extract photos/ -o features/[/bold]; "
    "once more, and it goes on where it ended"
)
def extract(
    folder: Annotated[Path, typer.Argument(help="Folder of photos, or one photo.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The folder to write, a file a photo.")
    ],
    detector: DetectorOption = None,
    descriptor: DescriptorOption = None,
    orientation: OrientationOption = None,
    features: Annotated[int, typer.Option(help="Local features a photo, at most.")] = 2000,
    size: Annotated[int, typer.Option(help="Longest side in pixels at which to work.")] = 1024,
    workers: WorkersOption = None,
) -> None:
    """Extract the local features of photos into a folder; go on where an earlier run ended."""
    chosen: dict[str, Any] = {"detector": detector or "sift", "descriptor": descriptor}
    if orientation is not None:
        chosen["orientation"] = orientation
    try:
        with progress_bars() as progress:
            report = extract_folder(
                folder,
                output,
                **chosen,
                max_features=features,
                max_size=size,
                workers=workers,
                progress=progress,
            )
    except KeyboardInterrupt:
        raise Interrupted("Interrupted; the same command goes on from here.") from None
    _print_extracted(report, output)
    if len(report.failed) == len(report.rows):
        raise typer.Exit(FAILED)


def _print_extracted(report: FolderReport, output: Path) -> None:
    for row in report.failed:
        err.print(plain(f"{row.status} {row.id}: {row.error}"), soft_wrap=True, style="yellow")
    n_done = len(report.rows) - len(report.failed)
    n_features = sum(row.n_features for row in report.rows)
    out.print(
        f"{n_features:,} features of {n_done} photos in {report.seconds:.1f} s, "
        f"{report.n_skipped} photos done before, {len(report.failed)} refused: {plain(output)}",
        soft_wrap=True,
    )


@app.command(epilog="Example: [bold]trouvaille draw photo.jpg -o features.png[/bold]")
def draw(
    photo: Annotated[Path, typer.Argument(help="The photo.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The picture: .png, .jpg or .webp.")
    ],
    detector: DetectorOption = None,
    orientation: OrientationOption = None,
    features: Annotated[int, typer.Option(help="Features to draw, the strongest.")] = 1000,
    size: Annotated[int, typer.Option(help="Longest side of the picture in pixels.")] = 1024,
) -> None:
    """Draw the local features of a photo on it, an ellipse each."""
    chosen: dict[str, Any] = {} if orientation is None else {"orientation": orientation}
    extractor = Extractor(detector or "sift", max_features=features, **chosen)
    pixels = images.resize_to(images.load_rgb(photo), size)[0]
    found = extractor(pixels)
    draw_features(pixels, found, path=output)
    out.print(f"{len(found.frames):,} features: {plain(output)}", soft_wrap=True)
