"""Protocols with label rules, fixed splits and several data sets; digests of those without."""

from __future__ import annotations

from pathlib import Path

import pytest

from aubench.core import protocol_file
from aubench.core.errors import ProtocolError
from aubench.core.protocol import Protocol
from aubench.core.registry import builtin_protocols, find_protocol

HEAD = """
name = "any"
version = 1
title = "any"
modalities = ["visual"]
aus = [6, 12]
labels = "occurrence"
threshold = "fixed:0.5"
preset = "tiny"
"""
DRAWN = "validation = { fraction = 0.4, candidates = 5 }\n"
SPLIT = (
    HEAD
    + 'dataset = "one"\n'
    + """
[parts]
a = ["F001", "F002"]
b = ["F003"]
c = ["M001"]
[split]
train = ["a"]
validation = ["b"]
test = ["c"]
"""
)
_TWO_NAMES = 'same_people = [["M001", "M002"]]\n[parts]'
SAME_PERSON = SPLIT.replace('["M001"]', '["M001", "M002"]').replace("[parts]", _TWO_NAMES)
ACROSS = (
    HEAD
    + DRAWN
    + """
train_on = ["one", "other"]
test_on = ["third"]
same_people = [["one:F001", "other:S1"], ["one:F002", "third:F002"]]
[parts]
one = ["one:F001", "one:F002", "one:F003"]
other = ["other:S1"]
third = ["third:F001", "third:F002"]
"""
)


def load(tmp_path: Path, text: str) -> Protocol:
    path = tmp_path / "any.toml"
    path.write_text(text)
    return protocol_file.load(path)


@pytest.mark.parametrize(
    ("name", "full", "narrow"),
    [
        ("bp4d_3fold", "9ba945458b07256d5de7d83cedc0ce5e9a5a49167fda40309bfe960ea28e11fa", "c983c6444dd36efd"),
        ("synth_3fold", "7120e1ca80e9bb112d60eb2cc3a42e5480531a6857fbb4286ee13d486ae078de", "6a9083164958fc05"),
        ("synth_vdt_3fold", "9941aaf78070314efac984b2c2a035b3486a570fc8bc0bcfba32267973eab7c4", "69aab05859ebd5f3"),
    ],
)
def test_protocols_of_one_data_set_keep_their_digests(name: str, full: str, narrow: str) -> None:
    found = find_protocol(name)
    assert found.digest == full and found.narrowed(["visual"]).digest.startswith(narrow)
    assert Protocol.model_validate(found.model_dump(mode="json")).digest == full
    old = {k: v for k, v in found.model_dump(mode="json").items() if k not in {"train_on", "split", "same_people"}}
    assert Protocol.model_validate(old).digest == full


def test_a_split_has_one_fold_with_stated_roles(tmp_path: Path) -> None:
    split = load(tmp_path, SPLIT)
    assert split.fold_numbers() == [1]
    assert split.roles(1) == ({"F001", "F002"}, {"F003"}, {"M001"})
    assert split.subjects == {"F001", "F002", "F003", "M001"}
    again = Protocol.model_validate(split.model_dump(mode="json"))
    assert (again, again.digest) == (split, split.digest)
    assert load(tmp_path, SPLIT.replace("threshold", "# comment\nthreshold")).digest == split.digest
    assert load(tmp_path, SPLIT.replace('["F003"]', '["F004"]')).digest != split.digest


def test_a_split_may_name_subjects(tmp_path: Path) -> None:
    text = HEAD + DRAWN + 'dataset = "one"\n[split]\ntrain = ["F001", "F002"]\ntest = ["M001"]\n'
    assert load(tmp_path, text).roles(1) == ({"F001", "F002"}, set(), {"M001"})


def test_across_data_sets_people_of_the_test_do_not_train(tmp_path: Path) -> None:
    across = load(tmp_path, ACROSS)
    assert across.datasets == ("one", "other", "third") and across.data_name == "one-other-third"
    assert across.roles(1) == ({"one:F001", "one:F003", "other:S1"}, set(), {"third:F001", "third:F002"})
    assert across.names_in("one") == {"F001", "F003"}
    assert across.narrowed(["visual"]) is across
    again = Protocol.model_validate(across.model_dump(mode="json"))
    assert (again, again.digest) == (across, across.digest)
    undeclared = [line for line in ACROSS.splitlines() if not line.startswith("same_people")]
    for text in ("\n".join(undeclared), ACROSS.replace('"occurrence"', '"intensity >= 2"')):
        assert load(tmp_path, text).digest != across.digest


def test_folds_across_data_sets_test_the_parts_of_the_test_once(tmp_path: Path) -> None:
    text = ACROSS.replace('test_on = ["third"]', 'test_on = ["other", "third"]').split("same_people")[0]
    parts = '[parts]\na = ["one:F001"]\nb = ["other:S1", "other:S2"]\nc = ["third:F001"]\n'
    folds = '[[folds]]\ntrain = ["a"]\ntest = ["b", "c"]\n'
    with pytest.raises(ProtocolError, match="fold 1 leaves out b"):
        load(tmp_path, text + parts + '[[folds]]\ntrain = ["a"]\ntest = ["c"]\n')
    assert load(tmp_path, text + parts + folds).roles(1)[2] == {"other:S1", "other:S2", "third:F001"}


@pytest.mark.parametrize(
    ("text", "old", "new", "message"),
    [
        (SPLIT, '"occurrence"', '"intensity>=2"', "'intensity>=2' is not a label rule"),
        (SPLIT, '"occurrence"', '"intensity >= 6"', "is not a label rule; use 'occurrence' or 'intensity >= n'"),
        (SPLIT, '"occurrence"', "2", "key 'labels': must be text (got 2)"),
        (SPLIT, 'dataset = "one"', "", "needs the key 'dataset', or 'train_on' and 'test_on'"),
        (SPLIT, 'dataset = "one"', 'dataset = "one"\ntest_on = ["one"]', "has dataset and train_on or test_on"),
        (SPLIT, 'validation = ["b"]', "validation = []", "needs the key 'validation'"),
        (SPLIT, 'test = ["c"]', "test = []", "the split needs train and test"),
        (SPLIT, 'test = ["c"]', 'test = ["M001"]', "the split names the unknown part 'M001'"),
        (SPLIT, 'test = ["c"]', 'test = ["a"]', "the split uses a twice"),
        (SPLIT, 'c = ["M001"]', 'c = ["M001"]\nd = ["M002"]', "the split leaves out d"),
        (SPLIT, 'c = ["M001"]', 'c = ["M001", "F003"]', "subject F003 is in b and in c"),
        (SPLIT, "[split]", '[[folds]]\ntrain = ["a"]\ntest = ["b"]\n[split]', "has folds and a split"),
        (SPLIT, 'c = ["M001"]', 'c = ["M/001"]', "subject 'M/001' needs a name of at most 80 characters: letters"),
        (SPLIT, 'c = ["M001"]', 'c = ["M001 "]', "subject 'M001 ' needs a name"),
        (SPLIT, 'c = ["M001"]', 'c = ["one:M001"]', "subject one:M001 must be written like M001"),
        (SPLIT, "[parts]", 'same_people = [["F001", "M001"]]\n[parts]', "F001 and M001 in two roles"),
        (SPLIT, "[parts]", 'same_people = [["F001", "F003"]]\n[parts]', "F001 and F003 in two roles"),
        (SAME_PERSON, "", "", "fold 1 tests on M001 and M002, and same_people says that they are one person; leave"),
        (SPLIT, "[parts]", 'same_people = [["F001", "X"]]\n[parts]', "same_people names the unknown subject 'X'"),
        (SPLIT, "[parts]", 'same_people = [["F001"]]\n[parts]', "two or more names of each person"),
        (SPLIT, "[parts]", 'same_people = [["F001", "F001"]]\n[parts]', "same_people names F001 twice"),
        (ACROSS, DRAWN, "", "needs the key 'validation'"),
        (ACROSS, '"one:F003"]', '"F003"]', "subject F003 must be written like one:F003"),
        (ACROSS, '"one:F003"]', '"on:F003"]', "subject on:F003 is of none of the data sets one, other, third"),
        (ACROSS, 'test_on = ["third"]', 'test_on = ["third", "one"]', "trains and tests on one; state the roles"),
        (ACROSS, '"one", "other"]', '"one", "one"]', "a data set twice"),
        (ACROSS, '"occurrence"', '{ one = "occurrence" }', "labels needs one rule for each of one, other, third"),
        (ACROSS, 'other = ["other:S1"]', 'other = ["other:S2"]', "unknown subject 'other:S1'"),
        (ACROSS, "[parts]", '[split]\ntrain = ["one", "third"]\ntest = ["other"]\n[parts]', "not in train_on"),
        (ACROSS, "[parts]", '[split]\ntrain = ["one", "other"]\ntest = ["third"]\n[parts]', "one:F002 and third:F002"),
    ],
)
def test_a_bad_protocol_is_one_line(tmp_path: Path, text: str, old: str, new: str, message: str) -> None:
    assert old in text
    with pytest.raises(ProtocolError) as caught:
        load(tmp_path, text.replace(old, new, 1))
    assert message in str(caught.value) and "any.toml" in str(caught.value) and "\n" not in str(caught.value)


def test_people_of_disfaplus_must_be_declared(tmp_path: Path) -> None:
    text = builtin_protocols()["disfa_to_disfaplus"].read_text()
    undeclared = text.replace('  ["disfa:SN013", "disfaplus:SN013"],\n', "")
    with pytest.raises(ProtocolError, match="disfa:SN013 and disfaplus:SN013 are one person; declare it"):
        load(tmp_path, undeclared)


def test_one_data_set_needs_no_train_on(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="trains and tests on one alone; use dataset"):
        load(tmp_path, SPLIT.replace('dataset = "one"', 'train_on = ["one"]\ntest_on = ["one"]'))
