# SPDX-License-Identifier: Apache-2.0
"""`trouvaille vocabulary`: visual words, learned once for many collections."""

from __future__ import annotations

import time
from errno import EISDIR, ENOENT
from pathlib import Path
from typing import Annotated, Any

import typer

from .._manifest import MANIFEST
from ..features import FolderFeatures
from ._app import Interrupted, app, err, out, plain, progress_bars
from ._options import (
    DescriptorOption,
    DetectorOption,
    FeaturesOption,
    OrientationOption,
    SizeOption,
    WorkersOption,
)


@app.command(
    epilog="Example: [bold]trouvaille vocabulary photos/ -o words.tv[/bold], "
    "then [bold]trouvaille index photos/ -o photos.tv --vocabulary words.tv[/bold]"
)
def vocabulary(
    folder: Annotated[
        Path,
        typer.Argument(help="Folder of photos, or of their features as `trouvaille extract` has."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    words: Annotated[int, typer.Option(help="Visual words to learn, so many.")] = 20_000,
    descriptors: Annotated[
        int | None,
        typer.Option(help="Descriptors to learn from, at most.", show_default="256 a word"),
    ] = None,
    algorithm: Annotated[
        str | None,
        typer.Option(
            help="How the nearest words are found: exact, approximate.",
            show_default="exact up to 16,384 words",
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="A file that each round replaces. The same command goes on from it, and removes "
            "it when all is done.",
        ),
    ] = None,
    detector: DetectorOption = None,
    descriptor: DescriptorOption = None,
    orientation: OrientationOption = None,
    features: FeaturesOption = None,
    size: SizeOption = None,
    workers: WorkersOption = None,
) -> None:
    """Learn visual words from photos, by k-means; say first what it will take."""
    from ..words import Vocabulary

    for file in (output, checkpoint):
        if file is not None:
            _refuse_folder(file)
    if checkpoint is not None and checkpoint.resolve() == output.resolve():
        raise typer.BadParameter("--checkpoint must be another file than --output")
    chosen = {
        "detector": detector,
        "descriptor": descriptor,
        "orientation": orientation,
        "max_features": features,
        "max_size": size,
    }
    options: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
    photos: Path | FolderFeatures = folder
    if (folder / MANIFEST).is_file():
        photos = FolderFeatures.open(folder)
        if options:
            raise typer.BadParameter(
                f"--{next(iter(options)).removeprefix('max_')} cannot go with features of before, "
                f"as {folder} has them by {photos.fingerprint}"
            )
    begin = time.perf_counter()
    try:
        with progress_bars() as progress:
            learned = Vocabulary.learn(
                photos,
                words,
                max_descriptors=descriptors,
                algorithm=algorithm,
                announce=lambda cost: err.print(cost_in_words(*cost)),
                progress=progress,
                checkpoint=checkpoint,
                threads=workers,
                **options,
            )
    except KeyboardInterrupt:
        kept = checkpoint is not None and checkpoint.is_file()
        goes_on = "; the same command goes on from the last round" if kept else ""
        raise Interrupted(f"Interrupted{goes_on}.") from None
    learned.save(output)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    seconds = time.perf_counter() - begin
    out.print(f"{learned.num_words:,} words in {seconds:.1f} s: {plain(output)}", soft_wrap=True)


def cost_in_words(seconds: float, memory: int) -> str:
    """Say what learning will take."""
    if seconds < 1.5:
        lasting = "a second or so"
    elif seconds < 100:
        lasting = f"some {seconds:.0f} seconds"
    elif seconds < 100 * 60:
        lasting = f"some {seconds / 60:.0f} minutes"
    else:
        lasting = f"some {seconds / 3600:.1f} hours"
    return (
        f"Learning words will take {lasting}, and {memory / 2**20:,.0f} MiB beside the descriptors."
    )


def _refuse_folder(file: Path) -> None:
    """Before an hour's work, not after it."""
    if file.is_dir():
        raise IsADirectoryError(EISDIR, "What is to be written is a folder, not a file", str(file))
    if not file.parent.is_dir():
        raise FileNotFoundError(ENOENT, "There is no such folder", str(file.parent))
