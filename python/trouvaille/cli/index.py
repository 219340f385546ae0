# SPDX-License-Identifier: Apache-2.0
"""`trouvaille index`: photos in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .. import images
from ..collection import AddReport, AddRow, Collection
from ..collection.settings import PIPELINES, RANKINGS
from ..errors import CollectionLockedError, TrouvailleError
from ..features import id_problem
from ._app import FAILED, Interrupted, app, err, out, plain, progress_bars
from ._options import (
    DescriptorOption,
    DetectorOption,
    FeaturesOption,
    OrientationOption,
    SizeOption,
    WorkersOption,
)

if TYPE_CHECKING:
    from ..words import Vocabulary


@app.command(
    epilog="Example: [bold]trouvaille index photos/ -o photos.tv[/bold], "
    "then [bold]trouvaille search photos.tv query.jpg[/bold]"
)
def index(
    folder: Annotated[Path, typer.Argument(help="Folder of photos (JPEG, PNG, WebP, TIFF).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The collection to make.")],
    add: Annotated[bool, typer.Option("--add", help="Add to a collection that exists.")] = False,
    prefix: Annotated[
        str, typer.Option(help="Text before every id, as holiday/ for a second folder.")
    ] = "",
    features: FeaturesOption = None,
    size: SizeOption = None,
    words: Annotated[
        int | None, typer.Option(help="Visual words to learn of the photos, so many.")
    ] = None,
    vocabulary: Annotated[
        str | None,
        typer.Option(
            help="A vocabulary learned before; own: learned of these photos; "
            "ready: the one that comes with the program.",
            show_default="ready, if there is one",
        ),
    ] = None,
    detector: DetectorOption = None,
    descriptor: DescriptorOption = None,
    orientation: OrientationOption = None,
    ranking: Annotated[
        str | None,
        typer.Option(
            help=f"What ranks photos before verification: {', '.join(RANKINGS)}.",
            show_default="hamming",
        ),
    ] = None,
    signature_bits: Annotated[
        int | None,
        typer.Option(help="Bits of a feature's signature, by hamming.", show_default="128"),
    ] = None,
    keep_descriptors: Annotated[
        bool | None,
        typer.Option(
            "--keep-descriptors/--no-descriptors",
            help="Keep descriptors to verify by; without them signatures do, in a quarter of the "
            "space.",
            show_default="keep",
        ),
    ] = None,
    pipeline: Annotated[
        str | None,
        typer.Option(
            help=f"What photos are found by: {', '.join(PIPELINES)}. By global, one vector a photo "
            "by a network, which needs PyTorch.",
            show_default="local",
        ),
    ] = None,
    network: Annotated[
        Path | None,
        typer.Option(
            help="That network: a file of deep.save_network.",
            show_default="EfficientNet-Lite0 with R-MAC",
        ),
    ] = None,
    workers: WorkersOption = None,
) -> None:
    """Index a folder of photos."""
    made_by = {
        "detector": detector,
        "descriptor": descriptor,
        "orientation": orientation,
        "ranking": ranking,
        "signature_bits": signature_bits,
        "keep_descriptors": keep_descriptors,
        "pipeline": pipeline,
        "network": network,
    }
    fixed = {
        "features": features,
        "size": size,
        "words": words,
        "vocabulary": vocabulary,
        **made_by,
    }
    given = [f"--{name.replace('_', '-')}" for name, value in fixed.items() if value is not None]
    if add and given:
        raise typer.BadParameter(
            f"{' and '.join(given)} cannot go with --add: a collection keeps what it was made with"
        )
    photos = _listed(folder, prefix)
    if add:
        with Collection.open(output) as collection:
            report = _add(collection, photos, workers)
    else:
        settings = {"num_words": words, "max_features": features, "max_size": size, **made_by}
        chosen: dict[str, Any] = {k: value for k, value in settings.items() if value is not None}
        learned = _vocabulary(vocabulary)
        with (
            _removed_if_empty(output),
            Collection.create(output, learned, **chosen) as collection,
        ):
            report = _add(collection, photos, workers)
    print_report(report, output)
    if report.n_added == 0:
        raise typer.Exit(FAILED)


def _listed(folder: Path, prefix: str) -> list[tuple[str, Path]]:
    """Return the photos of a folder with their ids."""
    photos = images.find_photos(folder)
    if not photos:
        raise ValueError(
            f"{folder} holds no photos; expected files named {', '.join(images.PHOTO_EXTENSIONS)}"
        )
    return [(prefix + photo.relative_to(folder).as_posix(), photo) for photo in photos]


def _vocabulary(given: str | None) -> Vocabulary | Literal["ready", "own"] | None:
    from ..words import Vocabulary

    match given:
        case None | "ready" | "own":
            return given
        case path:
            return Vocabulary.load(path)


def _add(
    collection: Collection, photos: Sequence[tuple[str, Path]], workers: int | None
) -> AddReport:
    held, before = set(collection.ids), len(collection)
    if again := next((id for id, _ in photos if id in held), None):
        raise ValueError(
            f"the collection has a photo {again!r} already; to add other photos of the same names, "
            "put something before their ids, as --prefix more/"
        )
    # A name that is no id is a row of the report, as any photo is that cannot be added.
    good = [(id, photo) for id, photo in photos if id_problem(id) is None]
    refused = [
        AddRow(plain(id), "unnameable", error=f"its name {problem}: rename the file")
        for id, _ in photos
        if (problem := id_problem(id)) is not None
    ]
    if not good:
        return AddReport(refused)
    try:
        with progress_bars() as progress:
            report = collection.add(
                [photo for _, photo in good],
                [id for id, _ in good],
                workers=workers,
                progress=progress,
            )
    except KeyboardInterrupt:
        committed = len(collection) - before
        counted = "1 photo was" if committed == 1 else f"{committed or 'no'} photos were"
        raise Interrupted(f"Interrupted; {counted} committed.") from None
    return AddReport([*report, *refused], report.seconds)


@contextmanager
def _removed_if_empty(output: Path) -> Iterator[None]:
    """Leave no new collection without photos behind: it would be in the way of another try."""
    from ..collection.storage import Storage

    ours, had_folder = not os.path.lexists(output / "CURRENT"), output.is_dir()
    try:
        yield
    except (FileExistsError, CollectionLockedError):  # another process was here meanwhile
        ours = False
        raise
    finally:
        if ours:
            with suppress(TrouvailleError, ValueError, OSError):  # not made, or not to be removed
                Storage.open(output).discard(keep_folder=had_folder)


def print_report(report: AddReport, output: Path) -> None:
    """Say what became of the photos."""
    for row in report.failed:
        err.print(plain(f"{row.status} {row.id}: {row.error}"), soft_wrap=True, style="yellow")
    for note in report.notes:
        out.print(plain(note), soft_wrap=True)
    per_photo = 1000 * report.seconds / max(len(report), 1)
    out.print(
        f"{report.n_added} photos indexed in {report.seconds:.1f} s ({per_photo:.0f} ms a photo), "
        f"{len(report.failed)} refused: {plain(output)}",
        soft_wrap=True,
    )
