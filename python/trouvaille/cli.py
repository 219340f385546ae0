# SPDX-License-Identifier: Apache-2.0
"""The shell's face: index a folder of photos, search it, evaluate it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from . import __version__, images
from .collection import AddReport, Collection, Hits
from .errors import CollectionLockedError

app = typer.Typer(
    help="Find the same object in a large collection of photos.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

_LOOKALIKES = {"notre_dame.jpg": "chartres.jpg"}  # photos of the demo that must not match

FAILED, INTERRUPTED = 1, 130  # exit codes; 2 is a command line that makes no sense


def main() -> None:
    """Run the command line; a user's mistake ends in one line and an exit code."""
    try:
        app()
    except KeyboardInterrupt:
        err.print("Interrupted.")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has gone (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except (ValueError, OSError, CollectionLockedError) as error:
        err.print(f"[red]error:[/red] {_plain(error)}", soft_wrap=True)
        sys.exit(FAILED)


def _plain(error: Exception) -> str:
    from rich.markup import escape

    if isinstance(error, OSError) and error.strerror:
        return escape(f"{error.strerror}" + (f": {error.filename}" if error.filename else ""))
    return escape(str(error))


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
    features: Annotated[int, typer.Option(help="Local features a photo, at most.")] = 2000,
    size: Annotated[int, typer.Option(help="Longest side in pixels at which to work.")] = 1024,
    words: Annotated[
        int | None, typer.Option(help="Visual words to learn; by default as the photos allow.")
    ] = None,
    vocabulary: Annotated[
        Path | None, typer.Option(help="A vocabulary learned before, instead of a new one.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Threads; by default all cores.")] = None,
) -> None:
    """Index a folder of photos."""
    photos = images.find_photos(folder)
    if not photos:
        raise ValueError(
            f"{folder} holds no photos; expected files named {', '.join(images.PHOTO_EXTENSIONS)}"
        )
    if add:
        collection = Collection.open(output)
    else:
        learned = None
        if vocabulary is not None:
            from .words import Vocabulary

            learned = Vocabulary.load(vocabulary)
        collection = Collection.create(
            output, learned, num_words=words, max_features=features, max_size=size
        )
    with collection, _progress() as progress:
        report = collection.add(folder, workers=workers, progress=progress)
    _print_report(report, output)
    if report.n_added == 0:
        raise typer.Exit(FAILED)


def _print_report(report: AddReport, output: Path) -> None:
    for row in report.failed:
        err.print(
            f"{row.status} {row.id}: {row.error}", soft_wrap=True, markup=False, style="yellow"
        )
    per_photo = 1000 * report.seconds / max(len(report), 1)
    out.print(
        f"{report.n_added} photos indexed in {report.seconds:.1f} s ({per_photo:.0f} ms a photo), "
        f"{len(report.failed)} refused: {output}",
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
        out.print_json(json.dumps(_as_json(query, hits)))
    else:
        _print_hits(query.name, hits)
        if html is not None:
            out.print(f"Page: {html}", soft_wrap=True)


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


def _as_json(query: Path, hits: Hits) -> dict[str, Any]:
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
            }
            for hit in hits
        ],
    }


def _print_hits(title: str, hits: Hits, expected: tuple[str, ...] = ()) -> None:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in ("rank", "photo", "score", "verified matches"):
        table.add_column(column, justify="left" if column == "photo" else "right")
    for hit in hits:
        style = "green" if hit.n_inliers else "dim"
        mark = "  ← the other view" if hit.id in expected else ""
        count = str(hit.n_inliers) if hit.n_inliers else "-"
        table.add_row(str(hit.rank), hit.id + mark, f"{hit.score:.3f}", count, style=style)
    out.print(table)
    out.print(
        "  ".join(f"{stage} {1000 * seconds:.1f} ms" for stage, seconds in hits.seconds.items()),
        style="dim",
    )
    out.print()


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
        out.print_json(json.dumps(result.as_dict()))
        return
    out.print(f"{truth.name}: {result.n_queries} queries, {result.n_photos} photos")
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
    # Beside the second views, one of two cathedrals of one style, in which nothing is the same.
    lookalikes: dict[Path, tuple[str, ...]] = {fetched.database / name: () for name in _LOOKALIKES}
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
    _print_summary(queries, dict(results))
    out.print(f"Page: {page.resolve()}", soft_wrap=True)


def _print_summary(queries: Mapping[Path, tuple[str, ...]], results: Mapping[Path, Hits]) -> None:
    """Say which second views were found, and what was found that should not be."""
    lines = []
    for query, expected in queries.items():
        found = {hit.id for hit in results[query] if hit.n_inliers}
        if expected:
            verdict = "found" if expected[0] in found else "not found"
            lines.append(f"{query.name}: {expected[0]} {verdict}")
        if wrong := sorted(found - set(expected)) if expected else []:
            lines.append(f"{query.name}: {', '.join(wrong)} taken for the same by mistake")
        if not expected and query.name in _LOOKALIKES:
            verdict = (
                "taken for the same by mistake"
                if _LOOKALIKES[query.name] in found
                else "kept apart"
            )
            lines.append(f"{query.name}: {_LOOKALIKES[query.name]} {verdict}")
    if lines:
        out.print("Second views", style="bold")
        for line in lines:
            out.print(f"  {line}")
        out.print()


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
        table.add_row(package, ", ".join(members))
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
