"""Parts of ``record.json``, with a type and a bound for each field."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints, model_validator

from aubench.results.field_types import (
    AuName,
    AUs,
    Count,
    Duration,
    LabelRule,
    Line,
    Modalities,
    Name,
    SeveralDatasetsModel,
    Sha256,
    Share,
    SmallInt,
    SparseModel,
    StrictModel,
    Subjects,
)


class ProtocolInfo(SeveralDatasetsModel):
    """Protocol of the run.

    Attributes:
        name: Name of the protocol.
        version: Version of the protocol.
        digest: SHA-256 of the protocol as narrowed to ``modalities``.
        fold_count: Number of folds of the protocol, including those that were not run.
        modalities: Modalities offered to the method, in canonical order.
        aus: Scored AUs, in the protocol's order.
        labels: Label rule of each data set; absent if all are ``occurrence``.
    """

    name: Name
    version: Annotated[int, Field(ge=1, le=10**6)]
    digest: Sha256
    fold_count: SmallInt
    modalities: Modalities
    aus: AUs
    labels: Annotated[dict[Name, LabelRule], Field(max_length=50, default_factory=dict)]


class DatasetInfo(SeveralDatasetsModel):
    """Store that the run read.

    Attributes:
        name: Data set, or the names of several joined by hyphens.
        version: Version of the reader or renderer that wrote the store.
        digest: SHA-256 in the store's ``store.json``, or one of the digests of several stores.
        frames: Number of frames in the store.
        labelled: Number of coded frames.
        variant: Known variant of the data set with the same frame count, ``null`` for none.
        members: SHA-256 of the store of each data set; absent if there is one.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,255}$")]
    version: Line
    digest: Sha256
    frames: Count
    labelled: Count
    variant: Line | None
    members: Annotated[dict[Name, Sha256], Field(max_length=50, default_factory=dict)]


class MethodInfo(SparseModel):
    """Method of the run.

    Attributes:
        name: Name of the method, also its folder.
        title: Name in print.
        fidelity: Degree of agreement with the paper; None if predictions were submitted.
        modalities: Modalities of the protocol that the method uses, in canonical order.
        source: Origin of the class; None if predictions were submitted.
        file: SHA-256 of the code of a method that is not built in: of its file, of its file with the modules beside it
            that it imports, or of its installed package with the version. Seeds before and after an edit are separate
            entries.
        version: Version of a built-in method, None for 1. Seeds of several versions are separate entries.
    """

    name: Name
    title: Line
    fidelity: Literal["exact", "paper-with-resolutions", "approximate"] | None
    modalities: Modalities
    source: Literal["builtin", "entry_point", "path"] | None
    file: Sha256 | None = None
    version: Annotated[int, Field(ge=2, le=999)] | None = None


INITIALISATION = "initialisation"
"""Stage of weights that the run did not pre-train itself."""


class Pretraining(SparseModel):
    """Data that the weights were trained on before supervised training on the protocol.

    Attributes:
        stage: :data:`INITIALISATION` or the name of the method's stage.
        source: Origin of the weights, e.g. a model name.
        datasets: Data sets used.
        fold: Fold concerned, ``null`` for all.
        subjects: Subjects of the protocol used, and those of the run that the weights are from, after their data set
            and a colon if it is not the protocol's. Empty for other data.
        frames: Frames that the run's own stage trained on. The file has no such field for other weights.
        seconds: Training time of that stage, also if another run did it; absent as ``frames``.
        run: Id of the finished run that the weights are from; absent for other weights.
        weights: SHA-256 of that run's checkpoint; absent as ``run``.
        store: SHA-256 of the store that the stage trained on in place of the run's; absent if it is the run's.
    """

    always: ClassVar[frozenset[str]] = frozenset({"fold"})

    stage: Line
    source: Line
    datasets: Annotated[tuple[Line, ...], Field(max_length=50)]
    fold: SmallInt | None = None
    subjects: Subjects = ()
    frames: Count | None = None
    seconds: Duration | None = None
    run: Name | None = None
    weights: Sha256 | None = None
    store: Sha256 | None = None


class Search(SparseModel):
    """Hyper-parameter search that led to the recipe, and its cost.

    Attributes:
        trials: Number of trials; 0 for a default recipe.
        study: Name of the study.
        sampler: Sampler of the study.
        pruner: Pruner of the study.
        seconds: Training time of all trials.
        frames: Training frames of all trials.
    """

    trials: Count = 0
    study: Line | None = None
    sampler: Name | None = None
    pruner: Name | None = None
    seconds: Duration | None = None
    frames: Count | None = None

    @property
    def tuned(self) -> bool:
        """Whether the recipe comes from a search."""
        return self.trials > 0

    @model_validator(mode="after")
    def _check_cost(self) -> Search:
        if not self.trials and any((self.study, self.sampler, self.pruner, self.seconds, self.frames)):
            raise ValueError("a search without trials can have no cost")
        return self


class FoldFrames(StrictModel):
    """Number of labelled frames of each role."""

    train: Count
    val: Count
    test: Count


class FoldInfo(SparseModel):
    """Roles, frames and training of one fold. If predictions were submitted, only the test role is known.

    Attributes:
        fold: Number of the fold, from 1.
        train: Subjects of the training role.
        val: Subjects of the validation role; empty if the selection rule needs none.
        test: Subjects of the test role.
        frames: Number of frames of each role.
        epochs: Number of epochs trained.
        best_epoch: Epoch whose weights were scored, from 1.
        checkpoint: SHA-256 of the checkpoint; None if predictions were submitted.
        train_prevalence: Per AU the number of positive and of known labels in the training role, with validation if
            predictions were submitted.
        node: Machine that finished the fold; absent if one machine finished all folds of the run.
    """

    always: ClassVar[frozenset[str]] = frozenset({"checkpoint"})

    fold: SmallInt
    train: Subjects
    val: Subjects
    test: Subjects
    frames: FoldFrames
    epochs: Count
    best_epoch: Count
    checkpoint: Sha256 | None
    train_prevalence: Annotated[dict[AuName, tuple[Count, Count]], Field(max_length=100)]
    node: Line | None = None

    @model_validator(mode="after")
    def _check_consistency(self) -> FoldInfo:
        subjects = [*self.train, *self.val, *self.test]
        if len(set(subjects)) < len(subjects):
            raise ValueError("a subject occurs twice in the roles of this fold")
        if self.best_epoch > self.epochs:
            raise ValueError("best_epoch is after the last epoch")
        for name, (positives, known) in self.train_prevalence.items():
            if positives > known:
                raise ValueError(f"train_prevalence of {name} has more positives than known labels")
        return self


class TableDigests(SparseModel):
    """SHA-256 of the record's tables as files."""

    counts: Sha256
    histograms: Sha256
    epochs: Sha256 | None = None


class StoredSummary(StrictModel):
    """Summary that records of schema 1 store; see :mod:`aubench.metrics.scores` for its values."""

    f1_mean: Share
    f1_pooled: Share
    acc: Share | None
    auc: Share | None
    ap: Share | None
    f1_by_fold: Annotated[tuple[Share, ...], Field(max_length=100)]
    f1_by_au: Annotated[dict[AuName, Share], Field(max_length=100)]
    acc_by_au: Annotated[dict[AuName, Share | None], Field(max_length=100)]
    auc_by_au: Annotated[dict[AuName, Share | None], Field(max_length=100)]
    ap_by_au: Annotated[dict[AuName, Share | None], Field(max_length=100)]
