"""Frame offset of a delivery: photo number minus frame number of the label file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from aubench.core.errors import DataError, UsageError
from aubench.datasets.bp4d.delivery import Delivery
from aubench.datasets.bp4d.layout import Recording

_OPTION = "--frame-offset"
_VALUES = {"-1": -1, "0": 0, "1": 1}
_SEQUENCE = re.compile(r"([FM]\d{3})[/_-](T\d{1,4})=(.+)", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class OffsetRequest:
    """Value of the option ``--frame-offset``."""

    default: int | None  # offset of all other sequences, None to decide by the files
    sequences: Mapping[str, int]  # offset by name such as F001/T1

    @staticmethod
    def parse(text: str) -> OffsetRequest:
        """Parse a list such as ``auto`` or ``-1,F007/T2=0``.

        Raises:
            UsageError: An item has another form, or a sequence has two values.
        """
        default: list[int | None] = []
        sequences: dict[str, int] = {}
        for item in (word.strip() for word in text.split(",")):
            name = _SEQUENCE.fullmatch(item)
            value = name[3] if name else item
            if value not in _VALUES and (name or value != "auto"):
                hint = "give 'auto', '0' or '-1' (or '1'), or the value of a sequence as in F007/T2=0"
                raise UsageError(f"cannot be '{item}'", where=_OPTION, hint=hint)
            if name is None:
                default.append(_VALUES.get(value))
                continue
            key = f"{name[1].upper()}/T{int(name[2][1:])}"
            if sequences.setdefault(key, _VALUES[value]) != _VALUES[value]:
                raise UsageError(f"{key} has two values", where=_OPTION, hint="give one of them")
        if len(default) > 1:
            hint = "give one value for all sequences, and others as in F007/T2=0"
            raise UsageError(f"cannot be '{text}'", where=_OPTION, hint=hint)
        return OffsetRequest(default[0] if default else None, sequences)


def decide_offsets(delivery: Delivery, request: OffsetRequest, coded: Iterable[np.ndarray]) -> Delivery:
    """Decide the frame offset of every recording.

    Without a request, one offset applies to the whole delivery. A recording votes for -1 if a file has the number 0.
    It votes for 0 if its files count from 1 and its codes do not exceed the number of the last file. If there is no
    such vote, a recording votes for an offset if only this offset gives every coded frame a photo.

    Args:
        delivery: Files.
        request: Requested offsets.
        coded: Frame numbers of the label file of each recording.

    Returns:
        Delivery with offsets and reasons.

    Raises:
        DataError: Recordings vote for different offsets, or a label file codes a frame 0.
        UsageError: A requested sequence does not exist, or a photo gets a negative frame number.
    """
    recordings = delivery.recordings
    unknown = request.sequences.keys() - {recording.name for recording in recordings}
    if unknown:
        raise UsageError(f"there is no sequence {min(unknown)}", where=_OPTION, hint="check the name")
    requested = [request.sequences.get(recording.name, request.default) for recording in recordings]
    undecided = [(r, c) for r, c, offset in zip(recordings, coded, requested, strict=True) if offset is None]
    common = _common_offset(undecided) if undecided else (0, "")
    decided = []
    for recording, offset in zip(recordings, requested, strict=True):
        number, reason = common if offset is None else (offset, "as requested")
        if recording.photos and min(recording.photos) < number:
            what = f"{number} gives {recording.name} a frame below 0"
            raise UsageError(what, where=_OPTION, hint=f"its first photo has the number {min(recording.photos)}")
        if offset is None and number == -1 and _has_zero(recording):
            reason = "files count from 0, label files from 1"
        decided.append(replace(recording, offset=number, offset_reason=reason))
    return replace(delivery, recordings=decided)


def _common_offset(recordings: list[tuple[Recording, np.ndarray]]) -> tuple[int, str]:
    """Return the offset on which the recordings agree, and the reason for those that do not vote themselves."""
    for recording, coded in recordings:
        if 0 in coded:
            what = "codes a frame 0, so frame numbers do not count from 1"
            raise DataError(what, where=recording.label_file, hint=f"decide with {_OPTION} 0, or 1 for photos from 1")
    for vote in (_vote_by_first_file, _vote_by_codes):
        votes = [(vote(recording, coded), recording.name) for recording, coded in recordings]
        from_0 = [name for offset, name in votes if offset == -1]
        from_1 = [name for offset, name in votes if offset == 0]
        if from_0 and from_1:
            raise _mixed(from_0, from_1)
        if from_0 or from_1:
            evidence = "a file numbered 0" if from_0 else "files from 1"
            evidence = evidence if vote is _vote_by_first_file else "a photo of every code only so"
            return -1 if from_0 else 0, f"as in {len(from_0 or from_1)} sequences with {evidence}"
    return 0, "no file is numbered 0"


def _vote_by_first_file(recording: Recording, coded: np.ndarray) -> int | None:
    if _has_zero(recording):
        return -1
    numbers = recording.photos.keys() | recording.meshes.keys()
    if len(coded) == 0 or not numbers or min(numbers) != 1 or max(coded) > max(numbers):
        return None  # the first file may be lost
    return 0


def _vote_by_codes(recording: Recording, coded: np.ndarray) -> int | None:
    complete = [offset for offset in (-1, 0) if set((coded + offset).tolist()) <= recording.photos.keys()]
    return complete[0] if len(complete) == 1 else None


def _has_zero(recording: Recording) -> bool:
    return 0 in recording.photos or 0 in recording.meshes or 0 in recording.materials


def _mixed(from_0: list[str], from_1: list[str]) -> DataError:
    (most, more), (few, fewer) = sorted([(-1, from_0), (0, from_1)], key=lambda vote: -len(vote[1]))
    counts = ", ".join(f"from {offset + 1} in {_names(names)}" for offset, names in ((most, more), (few, fewer)))
    case = "these lost their first files" if few == 0 else "the files numbered 0 are additional"
    hint = f"decide with {_OPTION} {most} if {case}, else with {_OPTION} {most},{fewer[0]}={few} for each"
    return DataError(f"files are numbered in two ways: {counts}", hint=hint)


def _names(names: list[str]) -> str:
    text = ", ".join(names[:3]) + ", …" * (len(names) > 3)
    return f"{len(names)} sequence{'s' * (len(names) > 1)} ({text})"
