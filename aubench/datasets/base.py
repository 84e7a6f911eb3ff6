"""Base classes of data sets and of their preparation options."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from aubench.core.errors import DataError, UsageError, suggest
from aubench.core.hook_errors import convert_errors
from aubench.core.task import Modality
from aubench.core.user_paths import user_path
from aubench.core.value_problems import problem
from aubench.datasets.file_search import printable
from aubench.datasets.sequence_checks import check_names, check_sequence

if TYPE_CHECKING:
    import numpy as np
    from pydantic_core import ErrorDetails

    from aubench.data.store import Store
    from aubench.data.store_format import LabelKind
    from aubench.data.store_writer import Sequence, StoreWriter

Progress = Callable[[int, int], None]
"""Callback with the amounts of work done and of all work."""


class DatasetOptions(BaseModel):
    """Options that decide the bytes of a store; each field is an option of ``aubench data prepare``.

    Raises:
        UsageError: A value is not valid.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = Field(128, ge=32, le=1024, description="Side of every image in pixels.")

    @field_validator("*")
    @classmethod
    def _expand_home(cls, value: Any) -> Any:
        return user_path(value) if isinstance(value, Path) else value

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise self._usage_error(error.errors()[0]) from None

    @classmethod
    def _usage_error(cls, error: ErrorDetails) -> UsageError:
        name, fields = str(error["loc"][0]), cls.model_fields
        what = f"cannot be '{error['input']}'"
        hint: str | None = problem(error)
        if error["type"] == "missing":
            what, hint = "is missing", fields[name].description or ""
        elif error["type"] == "extra_forbidden":
            what, hint = "is no option", suggest(name, fields)
        elif error["type"] == "string_pattern_mismatch":  # whose message is a regular expression
            what, hint = f"{what} ({(fields[name].description or '').removesuffix('.')})", None
        elif error["type"] != "value_error":
            hint = f"it {hint}"
        return UsageError(what, where="--" + name.replace("_", "-"), hint=hint)


class Dataset(ABC):
    """A data set that ``aubench data prepare`` converts into a store.

    A subclass implements :meth:`sequences`, or overrides :meth:`prepare` and :meth:`summarize`.

    Attributes:
        name: Name in protocols and commands.
        version: Version of the reader. A change in the bytes of its stores changes it.
        title: Noun phrase for listings.
        crop: Description of the face crop for ``store.json``.
        landmarks: Number of landmarks of each frame, 49 or None.
        labels: Kind of the labels: ``occurrence`` (0, 1) or ``intensity`` (0 to 5), and -1 is unknown.
        needs_source: Whether preparation reads files. Other data sets are prepared on demand.
        source_option: Name, placeholder and help of the option that names the files.
        workers: Threads that read sequences.
        unplanned: Options that a command may change when it resumes an interrupted one.
        Options: Preparation options.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    title: ClassVar[str]
    crop: ClassVar[str] = ""
    landmarks: ClassVar[int | None] = None
    labels: ClassVar[LabelKind] = "occurrence"
    needs_source: ClassVar[bool] = True
    source_option: ClassVar[tuple[str, str, str]] = "--source", "DIR", "Folder of the delivered files."
    workers: ClassVar[int] = 1
    unplanned: ClassVar[frozenset[str]] = frozenset()
    Options: ClassVar[type[DatasetOptions]] = DatasetOptions

    @property
    @abstractmethod
    def modalities(self) -> Mapping[Modality, str]:
        """Meaning of the channels of each modality."""

    @property
    @abstractmethod
    def aus(self) -> tuple[int, ...]:
        """AUs with a label column."""

    def store_name(self, options: Any) -> str:
        """Return the name of the data set in stores and protocols, and of its default folder."""
        return self.name

    def preview(self, source: Path | None, options: Any) -> list[str]:
        """Return lines to print instead of preparing the store; none to prepare it."""
        return []

    def sequences(self, source: Any, options: Any) -> Mapping[tuple[str, str], Callable[[], Sequence]]:
        """Return functions that read one sequence each, by subject and sequence name.

        Args:
            source: Folder of the delivered files; None if ``needs_source`` is false.
            options: Instance of ``Options``.
        """
        raise NotImplementedError

    def prepare(self, source: Path | None, store_path: Path, options: Any, progress: Progress) -> None:
        """Write the store. A repeated call resumes an interrupted one.

        Args:
            source: Argument of :meth:`sequences`.
            store_path: Folder of the new store.
            options: Argument of :meth:`sequences`.
            progress: Called with the numbers of finished and of all sequences.

        Raises:
            DataError: The source does not exist, a store exists already, a partial one has other options, a file is
                damaged, or :meth:`sequences` fails.
        """
        from aubench._util.progress import print_line
        from aubench.data.inputs import tree_fingerprint
        from aubench.data.store_writer import StoreWriter

        if source is not None and not source.exists():
            flag, metavar, _ = self.source_option
            raise DataError("does not exist", where=source, hint=f"correct the path of {flag} {metavar}")
        with convert_errors(type(self), self._hook, DataError):
            readers = self.sequences(source, options)
        with StoreWriter(store_path, self._plan(source, options)) as writer:
            files = {} if source is None else {"files": tree_fingerprint(source, writer.folders)}
            for line in writer.discard_changed(dict.fromkeys(readers, files)):
                print_line(f"aubench: {line}")
            self._write(writer, readers, options.size, progress)
            writer.finish(
                dataset=self.name,
                version=self.version,
                size=options.size,
                modalities=self.modalities,
                crop=self.crop,
                landmarks=self.landmarks,
                labels=self.labels,
            )

    def _plan(self, source: Path | None, options: Any) -> dict[str, object]:
        """Return the settings with which an interrupted command resumes."""
        planned = {name: value for name, value in options if name not in self.unplanned}
        named = {"source": source, **planned}
        paths = {key: printable(str(path.resolve())) for key, path in named.items() if isinstance(path, Path)}
        others = options.model_dump(mode="json", include=planned.keys() - paths.keys())
        return {"dataset": self.name, "version": self.version, **others, **paths}

    def _write(
        self,
        writer: StoreWriter,
        readers: Mapping[tuple[str, str], Callable[[], Sequence]],
        size: int,
        progress: Progress,
    ) -> None:
        missing = {key: read for key, read in readers.items() if not writer.has(*key)}
        done = len(readers) - len(missing)
        progress(done, len(readers))

        def write(key: tuple[str, str], read: Callable[[], Sequence]) -> None:
            with convert_errors(type(self), self._hook, DataError):
                sequence = read()
                check_names(sequence, self.name, key)
                check_sequence(sequence, self.name, self.aus, self.modalities, size)
            writer.add(sequence)

        with ThreadPoolExecutor(self.workers) as pool:
            try:
                for job in as_completed([pool.submit(write, *item) for item in missing.items()]):
                    job.result()
                    done += 1
                    progress(done, len(readers))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def summarize(self, store: Store) -> list[str]:
        """Return the lines that ``aubench data prepare`` prints about a new store."""
        return [f"{store.path}: {len(store.frames)} frames, digest {store.info.digest}"]

    @property
    def _hook(self) -> str:
        return f"{type(self).__name__}.sequences"


class RenderedFrame(NamedTuple):
    """A frame of a rendered data set."""

    subject: str
    sequence: str
    number: int
    labels: np.ndarray  # int8 (A) in the order of ``aus``
    images: Mapping[Modality, np.ndarray]  # uint8 (H, W, C) by modality


class RenderedDataset(Dataset):
    """A data set whose images are rendered, on demand and without a source."""

    needs_source = False
    example_subjects: ClassVar[tuple[str, ...]]  # subjects of the contact sheet

    @abstractmethod
    def render_face(self, subject: str, aus: Mapping[int, float], size: int) -> Mapping[Modality, np.ndarray]:
        """Render a subject's face, uint8 (H, W, C) by modality; ``aus`` holds intensities in [0, 1]."""

    @abstractmethod
    def render_frame(self, index: int, size: int) -> RenderedFrame:
        """Render an example frame; each index gives another one."""
