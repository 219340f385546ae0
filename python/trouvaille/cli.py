# SPDX-License-Identifier: Apache-2.0
"""The shell's face: index a folder of photos, search it, evaluate it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from . import __version__, images
from .collection import AddReport, AddRow, Collection, Hits
from .errors import CollectionLockedError, TrouvailleError
from .features import DESCRIPTORS, DETECTORS, id_problem
from .features.registry import DESCRIPTOR_ALIASES, DETECTOR_ALIASES

if TYPE_CHECKING:
    from .features import FolderReport
    from .words import Vocabulary

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
OrientationOption = Annotated[
    str | None,
    typer.Option(
        help="Turn each feature to its dominant gradients, or let up be up: dominant, upright.",
        show_default="dominant",
    ),
]


class _Interrupted(BaseException):
    """Ctrl-C, with what there is to say of it; no handler of a framework's takes it for its own."""


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """Run a command; typer would end the program by itself at a KeyboardInterrupt."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _Interrupted("Interrupted.") from None


app = typer.Typer(
    cls=_Commands,
    help="Find the same object in a large collection of photos.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
# Names of photos are printed as they are: `[red]` in one is no markup, and `:smile:` no picture.
out = Console(highlight=False, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, markup=False, emoji=False)

FAILED, INTERRUPTED = 1, 130  # exit codes; 2 is a command line that makes no sense


def main() -> None:
    """Run the command line; a user's mistake ends in one line and an exit code."""
    try:
        app()
    except (_Interrupted, KeyboardInterrupt) as interruption:
        err.print(str(interruption) or "Interrupted.", soft_wrap=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has gone (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except (TrouvailleError, ValueError, OSError) as error:
        err.print(Text.assemble(("error:", "red"), " ", _message(error)), soft_wrap=True)
        sys.exit(FAILED)


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {_plain(error.filename)}" if error.filename else "")
    return _plain(error)


def _plain(name: object) -> str:
    """Return text as it can be printed: what a terminal cannot show, or might obey, is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(name))


def _show_version(wanted: bool) -> None:
    if wanted:
        out.print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


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
    features: Annotated[
        int | None, typer.Option(help="Local features a photo, at most.", show_default="2000")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(help="Longest side in pixels at which to work.", show_default="1024"),
    ] = None,
    words: Annotated[
        int | None, typer.Option(help="Visual words to learn; by default as the photos allow.")
    ] = None,
    vocabulary: Annotated[
        Path | None, typer.Option(help="A vocabulary learned before, instead of a new one.")
    ] = None,
    detector: DetectorOption = None,
    descriptor: DescriptorOption = None,
    orientation: OrientationOption = None,
    workers: Annotated[int | None, typer.Option(help="Threads; by default all cores.")] = None,
) -> None:
    """Index a folder of photos."""
    made_by = {"detector": detector, "descriptor": descriptor, "orientation": orientation}
    fixed = {
        "features": features,
        "size": size,
        "words": words,
        "vocabulary": vocabulary,
        **made_by,
    }
    given = [f"--{name}" for name, value in fixed.items() if value is not None]
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
        learned = None if vocabulary is None else _load_vocabulary(vocabulary)
        with (
            _removed_if_empty(output),
            Collection.create(output, learned, **chosen) as collection,
        ):
            report = _add(collection, photos, workers)
    _print_report(report, output)
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


def _load_vocabulary(path: Path) -> Vocabulary:
    from .words import Vocabulary

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
        AddRow(_plain(id), "unnameable", error=f"its name {problem}: rename the file")
        for id, _ in photos
        if (problem := id_problem(id)) is not None
    ]
    if not good:
        return AddReport(refused)
    try:
        with _progress() as progress:
            report = collection.add(
                [photo for _, photo in good],
                [id for id, _ in good],
                workers=workers,
                progress=progress,
            )
    except KeyboardInterrupt:
        committed = len(collection) - before
        counted = "1 photo was" if committed == 1 else f"{committed or 'no'} photos were"
        raise _Interrupted(f"Interrupted; {counted} committed.") from None
    return AddReport([*report, *refused], report.seconds)


@contextmanager
def _removed_if_empty(output: Path) -> Iterator[None]:
    """Leave no new collection without photos behind: it would be in the way of another try."""
    from .collection.storage import Storage

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


def _print_report(report: AddReport, output: Path) -> None:
    for row in report.failed:
        err.print(_plain(f"{row.status} {row.id}: {row.error}"), soft_wrap=True, style="yellow")
    per_photo = 1000 * report.seconds / max(len(report), 1)
    out.print(
        f"{report.n_added} photos indexed in {report.seconds:.1f} s ({per_photo:.0f} ms a photo), "
        f"{len(report.failed)} refused: {_plain(output)}",
        soft_wrap=True,
    )


@app.command(
    epilog="Example: [bold]trouvaille search photos.tv query.jpg --box 120,80,640,420 "
    "--html found.html[/bold]"
)
def search(
    collection: Annotated[Path, typer.Argument(help="A collection made by `trouvaille index`.")],
    query: Annotated[Path, typer.Argument(help="The photo to search with.")],
    k: Annotated[int, typer.Option("-k", help="Number of results.")] = 10,
    box: Annotated[
        str | None, typer.Option(help="Search with this part only: x1,y1,x2,y2 in pixels.")
    ] = None,
    verify: Annotated[int, typer.Option(help="Photos to verify by geometry.")] = 100,
    html: Annotated[Path | None, typer.Option(help="Write a page that shows why.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    threads: Annotated[int | None, typer.Option(help="Threads; by default all cores.")] = None,
) -> None:
    """Find the photos that show the same object as the query."""
    with Collection.open(collection) as opened:
        hits = opened.search(query, k, box=_parse_box(box), verify=verify, threads=threads)
        if html is not None:
            from .collection import show

            title = f"{query.name} in {collection.name}"
            show.write_page(html, opened, [(query, hits)], title=title)
    if as_json:
        _print_json(_as_json(query, hits))
    else:
        _print_hits(query.name, hits)
        if html is not None:
            out.print(f"Page: {_plain(html)}", soft_wrap=True)


def _parse_box(text: str | None) -> tuple[float, float, float, float] | None:
    if text is None:
        return None
    try:
        x1, y1, x2, y2 = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"expected x1,y1,x2,y2, got {text!r}", param_hint="--box"
        ) from None
    return x1, y1, x2, y2


def _print_json(value: Any) -> None:
    # Names that are not UTF-8 can be escaped in ASCII only; any terminal shows that.
    out.print_json(json.dumps(value, allow_nan=False), ensure_ascii=True)


def _as_json(query: Path, hits: Hits) -> dict[str, Any]:
    from .collection.show import region

    regions = [region(hit) for hit in hits]
    return {
        "query": str(query),
        "seconds": hits.seconds,
        "results": [
            {
                "rank": hit.rank,
                "id": hit.id,
                "score": hit.score,
                "verified_matches": hit.n_inliers,
                "transform": None if hit.transform is None else hit.transform.tolist(),
                "query_box": hit.query_box,
                "box": hit.box,
                "region": None if corners is None else corners.tolist(),
            }
            for hit, corners in zip(hits, regions, strict=True)
        ],
    }


def _print_hits(title: str, hits: Hits, expected: tuple[str, ...] = ()) -> None:
    table = Table(
        title=_plain(title), title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    for column in ("rank", "photo", "score", "verified matches"):
        table.add_column(column, justify="left" if column == "photo" else "right")
    for hit in hits:
        style = "green" if hit.n_inliers else "dim"
        mark = "  ← the other view" if hit.id in expected else ""
        count = str(hit.n_inliers) if hit.n_inliers else "-"
        table.add_row(str(hit.rank), _plain(hit.id) + mark, f"{hit.score:.3f}", count, style=style)
    out.print(table)
    out.print(
        "  ".join(f"{stage} {1000 * seconds:.1f} ms" for stage, seconds in hits.seconds.items()),
        style="dim",
    )
    out.print()


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
    workers: Annotated[int | None, typer.Option(help="Threads; by default all cores.")] = None,
) -> None:
    """Extract the local features of photos into a folder; go on where an earlier run ended."""
    from .features import extract_folder

    chosen: dict[str, Any] = {"detector": detector or "sift", "descriptor": descriptor}
    if orientation is not None:
        chosen["orientation"] = orientation
    try:
        with _progress() as progress:
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
        raise _Interrupted("Interrupted; the same command goes on from here.") from None
    _print_extracted(report, output)
    if len(report.failed) == len(report.rows):
        raise typer.Exit(FAILED)


def _print_extracted(report: FolderReport, output: Path) -> None:
    for row in report.failed:
        err.print(_plain(f"{row.status} {row.id}: {row.error}"), soft_wrap=True, style="yellow")
    n_done = len(report.rows) - len(report.failed)
    n_features = sum(row.n_features for row in report.rows)
    out.print(
        f"{n_features:,} features of {n_done} photos in {report.seconds:.1f} s, "
        f"{report.n_skipped} photos done before, {len(report.failed)} refused: {_plain(output)}",
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
    from .features import Extractor
    from .features import draw as drawn

    chosen: dict[str, Any] = {} if orientation is None else {"orientation": orientation}
    extractor = Extractor(detector or "sift", max_features=features, **chosen)
    pixels = images.resize_to(images.load_rgb(photo), size)[0]
    found = extractor(pixels)
    drawn(pixels, found, path=output)
    out.print(f"{len(found.frames):,} features: {_plain(output)}", soft_wrap=True)


@app.command(epilog="Example: [bold]trouvaille evaluate photos.tv photos/gt.json[/bold]")
def evaluate(
    collection: Annotated[Path, typer.Argument(help="A collection made by `trouvaille index`.")],
    ground_truth: Annotated[
        Path, typer.Argument(help="gt.json; its photos' paths are relative to its folder.")
    ],
    verify: Annotated[int, typer.Option(help="Photos to verify by geometry.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    threads: Annotated[int | None, typer.Option(help="Threads; by default all cores.")] = None,
) -> None:
    """Measure the quality of search on photos with known answers."""
    from .collection.evaluate import evaluate as measure
    from .evaluation import GroundTruth

    truth = GroundTruth.load(ground_truth)
    with Collection.open(collection) as opened, _progress() as progress:
        result = measure(
            opened,
            truth,
            ground_truth.parent,
            verify=verify,
            threads=threads,
            progress=progress,
        )
    if as_json:
        _print_json(result.as_dict())
        return
    out.print(f"{_plain(truth.name)}: {result.n_queries} queries, {result.n_photos} photos")
    table = Table(box=None, pad_edge=False)
    for column in ("", "mAP", "P@1"):
        table.add_column(column, justify="right" if column else "left")
    table.add_row("words", f"{result.words.mean_ap:.3f}", f"{result.words.precision_at_1:.3f}")
    table.add_row(
        "verified", f"{result.verified.mean_ap:.3f}", f"{result.verified.precision_at_1:.3f}"
    )
    out.print(table)


@app.command(epilog="Example: [bold]trouvaille demo[/bold]")
def demo(
    folder: Annotated[
        Path, typer.Option(help="Where the demo keeps its photos and its page.")
    ] = Path("demo"),
    photos: Annotated[Path | None, typer.Option(help="A folder of your own photos.")] = None,
    query: Annotated[Path | None, typer.Option(help="A photo of your own to search with.")] = None,
) -> None:
    """Index demo photos (or one's own), search them, and write a page that shows the results."""
    if (photos is None) != (query is None):
        raise typer.BadParameter("--photos and --query go together")
    folder.mkdir(parents=True, exist_ok=True)
    if photos is not None and query is not None:
        _demo_on(folder, photos, {query: ()}, {})
        return
    from . import demo_photos

    with _progress() as progress:
        fetched = demo_photos.fetch(folder / "photos", progress=progress)
    # Beside the second views, what looks alike and is not the same.
    lookalikes: dict[Path, tuple[str, ...]] = {
        fetched.database / name: () for name in demo_photos.LOOKALIKES
    }
    _demo_on(folder, fetched.database, {**fetched.queries, **lookalikes}, fetched.sources)


def _demo_on(
    folder: Path, photos: Path, queries: Mapping[Path, tuple[str, ...]], sources: Mapping[str, str]
) -> None:
    from .collection import show

    path, page = folder / "photos.tv", folder / "results.html"
    if path.exists():  # the demo's own: made anew, so that the demo shows the whole way
        shutil.rmtree(path)
    results = []
    with Collection.create(path) as collection:
        with _progress() as progress:
            report = collection.add(photos, progress=progress)
        _print_report(report, path)
        for query, expected in queries.items():
            itself = [query.name] if query.parent == photos else []
            hits = collection.search(query, exclude=itself)
            _print_hits(query.name, hits, expected)
            results.append((query, hits))
        _print_sources(sources)
        show.write_page(page, collection, results, title="trouvaille", sources=sources)
    right = _print_summary(queries, dict(results))
    out.print(f"Page: {_plain(page.resolve())}", soft_wrap=True)
    if not right:
        raise typer.Exit(FAILED)


def _print_summary(queries: Mapping[Path, tuple[str, ...]], results: Mapping[Path, Hits]) -> bool:
    """Say which second views were found, and what should not be; return whether all is right."""
    from .demo_photos import LOOKALIKES

    verdicts: list[tuple[str, bool]] = []
    for query, expected in queries.items():
        found = {hit.id for hit in results[query] if hit.n_inliers}
        lookalike = LOOKALIKES.get(query.name)
        if expected:
            right = expected[0] in found
            verdict = "found" if right else "not found"
            verdicts.append((f"{query.name}: {expected[0]} {verdict}", right))
        elif lookalike and lookalike not in found:
            verdicts.append((f"{query.name}: {lookalike} kept apart", True))
        if expected or lookalike:
            verdicts += [
                (f"{query.name}: {mistake} taken for the same by mistake", False)
                for mistake in sorted(found - set(expected))
            ]
    if verdicts:
        out.print("Second views", style="bold")
        for text, right in verdicts:
            out.print(f"  {_plain(text)}", style=None if right else "red")
        out.print()
    return all(right for _, right in verdicts)


def _print_sources(sources: Mapping[str, str]) -> None:
    if not sources:
        return
    table = Table(
        title="Where the photos come from", title_justify="left", box=None, pad_edge=False
    )
    table.add_column("package")
    table.add_column("photos")
    by_package: dict[str, list[str]] = {}
    for photo, package in sorted(sources.items()):
        by_package.setdefault(package, []).append(photo)
    for package, members in by_package.items():
        table.add_row(_plain(package), _plain(", ".join(members)))
    out.print(table)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int | None], None]]:
    """Yield the library's progress callback, drawn as one bar a stage where a person looks on."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=err, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def callback(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield callback
