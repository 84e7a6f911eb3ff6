"""Names, channels and order of modalities, built in and others."""

from __future__ import annotations

import copy
import pickle

import pytest
from pydantic import TypeAdapter, ValidationError

from aubench.core.conditions import Condition, missing, subsets
from aubench.core.task import Modality, Task
from aubench.metrics.robustness_profile import condition_sort_key

FLOW, INFRARED = Modality("flow-2"), Modality("near_infrared-1")


def test_a_name_states_its_channels():
    assert [m.channels for m in (*Modality, FLOW, INFRARED)] == [3, 1, 1, 2, 1]
    assert [m.letter for m in (*Modality, FLOW, INFRARED)] == ["V", "D", "T", "[flow]", "[near_infrared]"]
    assert Task((Modality.VISUAL, FLOW), (1,), 32).channels == 5
    assert f"{FLOW}" == FLOW.value == "flow-2" and type(FLOW.value) is str


@pytest.mark.parametrize("name", ["flow", "flow-0", "flow-4", "Flow-1", "2-1", "flow-2 ", "", "visual-3-1", "depth-1"])
def test_other_texts_are_refused(name):
    with pytest.raises(ValueError, match="is not a modality: visual, depth, thermal, or a name"):
        Modality(name)


def test_a_name_has_one_instance_in_every_process():
    for modality in (*Modality, FLOW):
        assert pickle.loads(pickle.dumps(modality)) is copy.deepcopy(modality) is Modality(str(modality)) is modality
    read = TypeAdapter(dict[Modality, int]).validate_json('{"flow-2": 1, "depth": 2}', strict=True)
    assert [key is modality for key, modality in zip(read, (FLOW, Modality.DEPTH), strict=True)] == [True, True]
    with pytest.raises(ValidationError, match="is not a modality"):
        TypeAdapter(Modality).validate_python("colour")


def test_built_in_modalities_come_first():
    assert Modality.ordered(["near_infrared-1", "thermal", "flow-2", "visual"]) == ("visual", "thermal", FLOW, INFRARED)
    assert list(Modality) == ["visual", "depth", "thermal"] and len(Modality) == 3


def test_conditions_name_them():
    condition = Condition.parse("missing:near_infrared-1+flow-2+visual")
    assert str(condition) == "missing:visual+flow-2+near_infrared-1"
    changed = Condition.parse("noise:flow-2:0.2").corruptions((Modality.VISUAL, FLOW))
    assert [change.kind for change in changed.values()] == ["as is", "noise"]
    assert {c.kind for c in Condition.parse("noise:all:0.2").corruptions((Modality.VISUAL, FLOW)).values()} == {"noise"}
    four = (*Modality, FLOW)
    assert len(subsets(four)) == 15
    conditions = sorted([missing((FLOW,)), missing(four), Condition.parse("missing:all")], key=condition_sort_key)
    assert [str(c) for c in conditions] == ["missing:flow-2", str(missing(four)), "missing:all"]
