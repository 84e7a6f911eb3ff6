"""``aubench data``: prepare, check, show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Make, check and look at stores of data.", no_args_is_help=True)
prepare = typer.Typer(help="Make a store: decode, crop and align once, then never again.", no_args_is_help=True)
app.add_typer(prepare, name="prepare")

StoreOption = Annotated[
    Path | None, typer.Option("--store", metavar="DIR", help="Where the store is [default: $AUBENCH_STORES/<dataset>].")
]
Source = Annotated[Path, typer.Option("--source", metavar="DIR", help="The delivery's folder.")]
Size = Annotated[int, typer.Option("--size", help="Side of every image in pixels.", min=32, max=1024)]


@prepare.command("bp4d")
def prepare_bp4d(
    source: Source,
    store: StoreOption = None,
    size: Size = 256,
    frame_offset: Annotated[
        str, typer.Option("--frame-offset", help="Photo number minus label frame number: auto, 0 or -1.")
    ] = "auto",
    landmarks: Annotated[
        Path | None,
        typer.Option(
            "--landmarks", metavar="DIR", help="Align by the delivered 49-point files, and keep their points."
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option("--workers", help="Processes [default: one a core].", min=1)] = None,
) -> None:
    """Read BP4D as delivered; the same command goes on where a stopped one was."""
    from aubench._util.progress import count_progress
    from aubench.core.errors import UsageError
    from aubench.data.store import default_root
    from aubench.datasets.bp4d.prepare import prepare_bp4d as make

    offsets = {"auto": "auto", "0": 0, "-1": -1}
    if frame_offset not in offsets:
        raise UsageError(f"cannot be '{frame_offset}'", where="--frame-offset", hint="use auto, 0 or -1")
    place = store or default_root() / "bp4d"
    with count_progress("frames prepared") as progress:
        report = make(
            source,
            place,
            size=size,
            frame_offset=offsets[frame_offset],  # type: ignore[arg-type]
            landmarks=landmarks,
            workers=workers,
            progress=progress,
        )
    for text in report.lines():
        typer.echo(text)


@prepare.command("synth")
def prepare_synth(
    store: StoreOption = None,
    size: Annotated[int, typer.Option("--size", help="Side of every image in pixels.", min=32, max=256)] = 64,
    frames: Annotated[int, typer.Option("--frames", help="Frames of each of the 328 sequences.", min=32)] = 32,
) -> None:
    """Draw the dataset that needs no licence."""
    from aubench._util.progress import count_progress
    from aubench.data.store import default_root
    from aubench.datasets.synth.synth_dataset import SynthSettings, generate

    with count_progress("synth: sequences drawn") as progress:
        made = generate(store or default_root() / "synth", SynthSettings(size=size, frames=frames), progress)
    typer.echo(f"{made.path}: {len(made.frames)} frames, digest {made.info.digest}")


Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="bp4d or synth.")]


@app.command()
def check(dataset: Dataset, store: StoreOption = None) -> None:
    """Read every byte of a store and compare it with its digest."""
    from aubench._util.progress import count_progress
    from aubench.data.store import Store, default_root

    opened = Store(store or default_root() / dataset)
    with count_progress("files checked") as progress:
        opened.verify(full=True, progress=progress)
    typer.echo(f"{opened.path}: whole, {len(opened.frames)} frames, digest {opened.info.digest}")


@app.command()
def show(
    dataset: Dataset,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The PNG file to write.")],
    store: StoreOption = None,
) -> None:
    """Draw a contact sheet.

    Of synth every AU, of other stores random frames.
    """
    from aubench.data.store import Store, default_root
    from aubench.plots import contact_sheet

    if dataset == "synth" and store is None:
        contact_sheet.draw_synth(out)
    else:
        contact_sheet.draw_store(Store(store or default_root() / dataset), out)
    typer.echo(f"wrote {out}")
