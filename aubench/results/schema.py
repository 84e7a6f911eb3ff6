"""The parts of ``record.json``: each field with its type and its bound."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
    model_validator,
)

from aubench.core.task import Modality
from aubench.results import counts

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
"""A name that may stand in a path."""
Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,300}$")]
"""One line of text."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Subject = Annotated[str, StringConstraints(pattern=f"^{counts.SUBJECT}$")]
Subjects = Annotated[tuple[Subject, ...], Field(max_length=2000)]
Condition = Annotated[str, StringConstraints(pattern=f"^{counts.CONDITION}$")]
SmallInt = Annotated[int, Field(ge=1, le=999)]
AuName = Annotated[str, StringConstraints(pattern=f"^AU{counts.SMALL}$")]
MAX_COUNT = 10**15
"""The largest number that a record may count, or seed that it may name."""
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Duration = Annotated[float, Field(ge=0, le=1e12)]
Share = Annotated[float, Field(ge=0, le=1)]
Modalities = Annotated[tuple[Modality, ...], Field(min_length=1, max_length=len(Modality))]


class StrictModel(BaseModel):
    """Closed, frozen, strictly typed, finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class SparseModel(StrictModel):
    """A part that does not name what it has nothing to say of."""

    @model_serializer(mode="wrap")
    def _drop_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}


class ProtocolInfo(StrictModel):
    """The protocol that was followed, as narrowed.

    Attributes:
        name: Its name.
        version: Its version.
        digest: SHA-256 of the protocol as narrowed to ``modalities``.
        fold_count: Number of its folds, whether or not all were run.
        modalities: What the method was offered, in canonical order.
        aus: The AUs that are scored, in the protocol's order.
    """

    name: Name
    version: Annotated[int, Field(ge=1, le=10**6)]
    digest: Sha256
    fold_count: SmallInt
    modalities: Modalities
    aus: Annotated[tuple[SmallInt, ...], Field(min_length=1, max_length=100)]


class DatasetInfo(StrictModel):
    """The store that was read.

    Attributes:
        name: Data set.
        version: Version of the reader or renderer that made the store.
        digest: SHA-256 that the store's ``store.json`` states.
        frames: Frames in the store.
        labelled: Frames that the data set codes.
        variant: Which known variant of the data set the counts agree with, ``null`` for none.
    """

    name: Name
    version: Line
    digest: Sha256
    frames: Count
    labelled: Count
    variant: Line | None


class MethodInfo(SparseModel):
    """The method that ran.

    Attributes:
        name: Its name, which is also its folder.
        title: What it is called in print.
        fidelity: How near to the paper it is.
        modalities: Those of the protocol's modalities that it uses, in canonical order.
        source: Where it came from.
        file: SHA-256 of its file, if it came from a path: seeds before and after an edit are not one row.
    """

    name: Name
    title: Line
    fidelity: Literal["exact", "paper-with-resolutions", "approximate"]
    modalities: Modalities
    source: Literal["builtin", "entry_point", "path"]
    file: Sha256 | None = None


class Pretraining(StrictModel):
    """One entry of the ledger of what the weights had seen before supervised training on the protocol began.

    Attributes:
        stage: What was done, e.g. ``initialisation`` or the name of the method's stage.
        source: Where the weights came from, e.g. a model name.
        datasets: The data sets seen.
        fold: The fold that it concerns, ``null`` for all.
        subjects: Those of the protocol's subjects that were seen; empty for data from elsewhere.
    """

    stage: Line
    source: Line
    datasets: Annotated[tuple[Line, ...], Field(max_length=50)]
    fold: SmallInt | None = None
    subjects: Subjects = ()


class Search(SparseModel):
    """What was spent on finding the recipe; fields that say nothing are not written.

    Attributes:
        trials: Recipes tried before this one; 0 where none was searched.
        study: Name of the search.
        sampler: What suggested recipes.
        pruner: What gave up on recipes early.
        seconds: Time that training took in all trials.
        frames: Frames that they were trained on.
    """

    trials: Count = 0
    study: Line | None = None
    sampler: Name | None = None
    pruner: Name | None = None
    seconds: Duration | None = None
    frames: Count | None = None

    @property
    def tuned(self) -> bool:
        """Whether the recipe was searched; otherwise it is a default."""
        return self.trials > 0

    @model_validator(mode="after")
    def _of_something(self) -> Search:
        if not self.trials and any((self.study, self.sampler, self.pruner, self.seconds, self.frames)):
            raise ValueError("a search without trials can have no cost")
        return self


class Cost(StrictModel):
    """Cost of a whole model or of a part of it.

    Attributes:
        flops: Floating-point operations per frame, twice ``macs``.
        macs: Multiply-accumulate operations per frame.
        parameters: Trained or frozen weights.
    """

    flops: Count
    macs: Count
    parameters: Count

    @model_validator(mode="after")
    def _double(self) -> Cost:
        if self.flops != 2 * self.macs:
            raise ValueError("flops must be twice macs")
        return self


class Compute(StrictModel):
    """What the model costs per frame.

    Attributes:
        total: The whole model.
        parts: Its branches by modality and its ``fusion``; empty where the method has no branches.
        uncounted: Operations that the count leaves out.
    """

    total: Cost
    parts: Annotated[dict[Name, Cost], Field(max_length=20)]
    uncounted: Annotated[tuple[Line, ...], Field(max_length=200)]


class Speed(StrictModel):
    """Frames per second, ``null`` where not measured."""

    train_frames_per_s: Duration | None
    inference_frames_per_s: Duration | None


class Time(StrictModel):
    """When the run started (UTC, ISO 8601 to the second) and how many seconds its work took in all."""

    started: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    seconds: Duration


class FoldFrames(StrictModel):
    """Labelled frames of each role."""

    train: Count
    val: Count
    test: Count


class FoldInfo(StrictModel):
    """What happened in one fold.

    Attributes:
        fold: Its number, from 1.
        train: Subjects of the training role.
        val: Subjects of the validation role; empty where selection needs none.
        test: Subjects of the test role.
        frames: Frames of each role.
        epochs: Epochs trained.
        best_epoch: The epoch whose weights were scored, from 1.
        checkpoint: SHA-256 of those weights' file.
        train_prevalence: Per AU, frames of the training role that are positive and that are known.
    """

    fold: SmallInt
    train: Subjects
    val: Subjects
    test: Subjects
    frames: FoldFrames
    epochs: Count
    best_epoch: Count
    checkpoint: Sha256
    train_prevalence: Annotated[dict[AuName, tuple[Count, Count]], Field(max_length=100)]

    @model_validator(mode="after")
    def _check_consistency(self) -> FoldInfo:
        everyone = [*self.train, *self.val, *self.test]
        if len(set(everyone)) < len(everyone):
            raise ValueError("a subject stands twice in the roles of this fold")
        if self.best_epoch > self.epochs:
            raise ValueError("best_epoch is after the last epoch")
        for name, (positives, known) in self.train_prevalence.items():
            if positives > known:
                raise ValueError(f"train_prevalence of {name} has more positives than known labels")
        return self


class Summary(StrictModel):
    """Headline numbers under clean inputs, as fractions rounded to six decimals.

    :func:`aubench.metrics.scores.summarise` makes it; ``aubench leaderboard check`` makes it again.

    Attributes:
        f1_mean: F1 per AU and fold, mean over AUs, mean over folds; undefined counts 0.
        f1_pooled: F1 per AU over all folds' frames together, mean over AUs.
        acc: Share of known labels predicted right, mean over AUs, mean over folds.
        auc: Area under the ROC curve, likewise; where one class is absent it is left out; ``null`` if everywhere.
        ap: Average precision, likewise.
        f1_by_fold: F1 mean over AUs, in the order of the folds.
        f1_by_au: F1 mean over folds.
        acc_by_au: Accuracy, mean over folds.
        auc_by_au: AUC, mean over folds.
        ap_by_au: Average precision, mean over folds.
    """

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


Packages = Annotated[dict[Line, Line], Field(max_length=100)]
"""Versions of the libraries that decide the numbers, and of Python."""


class Device(StrictModel):
    """What it ran on: ``cpu``, ``cuda``, …; its name; CPU threads a fold; arithmetic precision."""

    kind: Name
    name: Line
    threads: Count
    precision: Line


class Git(StrictModel):
    """Commit of the code that ran and whether the tree differed from it; ``null`` outside a repository."""

    commit: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")] | None
    dirty: bool | None


class Environment(StrictModel):
    """What finished a fold: device, libraries, code."""

    device: Device
    packages: Packages
    git: Git
