"""Functions that prepare and check the stores of data sets."""

from __future__ import annotations

from pathlib import Path

from aubench._util.progress import count_progress
from aubench.api.planning import AnyPath
from aubench.core.user_paths import user_path


def prepare_store(
    dataset: str, *, source: AnyPath | None = None, store: AnyPath | None = None, **options: object
) -> list[str]:
    """Convert a data set into a store. Repeat to resume.

    Args:
        dataset: Name of the data set.
        source: Folder of the delivered files; None if the data set needs none.
        store: Folder of the store [default: $AUBENCH_STORES/<dataset>].
        options: Fields of the data set's ``Options``.

    Returns:
        Lines of a summary.

    Raises:
        AubenchError: An option is not valid, a store exists already, or a file is damaged.
    """
    from aubench.datasets import catalog

    source_dir, store_dir = (None if path is None else user_path(path) for path in (source, store))
    with count_progress(f"{dataset} prepared") as progress:
        return catalog.prepare_store(dataset, source_dir, store_dir, options, progress)


def check_store(dataset: str, *, store: AnyPath | None = None) -> str:
    """Compare every file of a store with its digest.

    Args:
        dataset: Name of the data set.
        store: Folder of the store [default: $AUBENCH_STORES/<dataset>].

    Returns:
        A line with the number of frames and the digest, and a line for each of the least certain crops.

    Raises:
        DataError: There is no store, or a file is missing or differs.
    """
    from aubench.datasets import catalog

    with count_progress("files checked") as progress:
        return catalog.check_store(dataset, None if store is None else user_path(store), progress)


def export_store(store: AnyPath, out: AnyPath) -> Path:
    """Write the frames of a store as images and a table.

    The images are PNG files without loss, and the table frames.csv is a manifest.

    Args:
        store: Folder of the store, or name of a data set whose store is in the default folder.
        out: New folder.

    Returns:
        Path of the manifest.

    Raises:
        DataError: There is no store, or the folder is not empty.
    """
    from aubench.datasets.catalog import open_any_store
    from aubench.datasets.table import store_export

    with count_progress("frames exported") as progress:
        return store_export.export_store(open_any_store(store), user_path(out), progress)


def write_label_counts(store: AnyPath, out: AnyPath) -> Path:
    """Count the labels of each subject of a store.

    Leaderboards compare records with these numbers. The file belongs in protocols/labels if anyone may know the labels.

    Args:
        store: Folder of the store, or name of a data set whose store is in the default folder.
        out: New JSON file.

    Returns:
        Path of the file.

    Raises:
        DataError: There is no store, it is damaged, or its labels are intensities.
        UsageError: The file exists.
    """
    from aubench._util import atomic
    from aubench._util.output_paths import check_output_file
    from aubench.core.errors import UsageError
    from aubench.datasets import catalog, label_counts

    path = user_path(out)
    check_output_file(path)
    if path.exists():
        raise UsageError("exists already", where=path, hint="delete it first, or name a new file with --out")
    atomic.write_text(path, label_counts.to_text(label_counts.label_counts(catalog.open_any_store(store))))
    return path


def simulate_delivery(dataset: str, out: AnyPath, *, labels_only: bool = False, seed: int = 0) -> list[str]:
    """Write random labels of a data set at its full size.

    The folder gets label files in the layout of the data set, a store of them and its protocols. The store has images
    of one pixel. Its data set and protocols have names that end in _simulated.

    Args:
        dataset: Name of the data set: bp4d, bp4dplus or disfa.
        out: New folder.
        labels_only: Write no photos and videos. They are not simulated, so this option is necessary.
        seed: Seed of the labels.

    Returns:
        Lines of a summary.

    Raises:
        UsageError: There is no such data set, or ``labels_only`` is false.
        DataError: The folder is not empty or cannot be written.
    """
    from aubench.core.errors import UsageError
    from aubench.datasets.simulation import simulate

    if not labels_only:
        raise UsageError("photos and videos are not simulated", where="--labels-only", hint="add this option")
    with count_progress("sequences written") as progress:
        return simulate(dataset, user_path(out), seed, progress)
