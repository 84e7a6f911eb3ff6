from __future__ import annotations

import pytest

from aubench.core import protocol_file
from aubench.core.errors import ProtocolError, UsageError
from aubench.core.protocol import Protocol
from aubench.core.protocol_rules import frame_ranges
from aubench.core.registry import builtin_protocols, find_protocol
from aubench.core.task import Modality

GOOD = """
name = "two"
version = 1
title = "two subjects"
dataset = "synth"
modalities = ["depth", "visual"]
aus = [1, 2]
labels = "occurrence"
threshold = "fixed:0.5"
preset = "tiny"
validation = { fraction = 0.2, candidates = 5 }
[parts]
a = ["F001", "F002"]
b = ["M001"]
[[folds]]
train = ["a"]
test = ["b"]
[[folds]]
train = ["b"]
test = ["a"]
[aliases]
first = 1
"""


def load(tmp_path, text):
    path = tmp_path / "two.toml"
    path.write_text(text)
    return protocol_file.load(path)


TESTED = {
    "bp4d_3fold": [13, 14, 14],
    "bp4dplus_bigsmall3": [46, 47, 47],
    "bp4dplus_fmae4": [35, 35, 35, 35],
    "disfa_3fold": [9, 9, 9],
    "disfa_3fold_from_bp4d": [9, 9, 9],
    "synth_3fold": [13, 14, 14],
    "synth_vdt_3fold": [13, 14, 14],
}
ACROSS = {
    "bp4d_to_bp4dplus": (41, 140),
    "bp4d_to_disfa": (41, 27),
    "disfa_to_bp4d": (27, 41),
    "disfa_to_disfaplus": (18, 9),
}


@pytest.mark.parametrize("name", sorted(builtin_protocols()))
def test_builtin_protocols_test_every_subject_once(name):
    full = find_protocol(name)
    assert full.name == name
    if name in ACROSS:
        assert [tuple(map(len, full.roles(fold))) for fold in full.fold_numbers()] == [
            (ACROSS[name][0], 0, ACROSS[name][1])
        ]
        return
    tested = [full.test_subjects(fold) for fold in full.fold_numbers()]
    assert list(map(len, tested)) == TESTED[name]
    assert sum(map(len, tested)) == len(full.subjects) and frozenset().union(*tested) == full.subjects
    for fold, test in enumerate(tested, 1):
        assert full.train_subjects(fold) == full.subjects - test


def test_all_data_sets_have_the_subjects_of_their_owners():
    bp4dplus = {f"F{i:03}" for i in range(1, 83)} | {f"M{i:03}" for i in range(1, 59)}
    assert find_protocol("bp4dplus_bigsmall3").subjects == find_protocol("bp4dplus_fmae4").subjects == bp4dplus
    disfa = {f"SN{i:03}" for i in (*range(1, 14), 16, 17, 18, 21, *range(23, 33))}
    assert find_protocol("disfa_3fold").subjects == disfa
    for name in ACROSS:
        across = find_protocol(name)
        singles = {"bp4d": "bp4d_3fold", "bp4dplus": "bp4dplus_bigsmall3", "disfa": "disfa_3fold"}
        for dataset in {*across.datasets} & {*singles}:
            listed = {
                s.partition(":")[2] for part in across.parts.values() for s in part if across.dataset_of(s) == dataset
            }
            assert listed == find_protocol(singles[dataset]).subjects


def test_published_folds_of_disfa_and_bp4dplus():
    disfa, bigsmall, fmae = map(find_protocol, ("disfa_3fold", "bp4dplus_bigsmall3", "bp4dplus_fmae4"))
    assert [next(k for k in (1, 2, 3) if name in disfa.test_subjects(k)) for name in ("SN003", "SN006", "SN001")] == [
        1,
        2,
        3,
    ]
    assert disfa.labels == "intensity >= 2" and disfa.variants["all frames (ME-GraphAU)"] == 130_814
    for fold, names in enumerate(("F003 M056", "F001 M055", "F007 M058"), 1):
        assert {*names.split()} <= bigsmall.test_subjects(fold)
    for fold, names in enumerate(("M040 M020", "F074 M052", "F029 F068", "M058 F036"), 1):
        assert {*names.split()} <= fmae.test_subjects(fold)


def test_protocols_across_data_sets_score_the_aus_that_both_have():
    bp4d, disfa = find_protocol("bp4d_3fold").aus, find_protocol("disfa_3fold").aus
    shared = tuple(sorted({*bp4d} & {*disfa}))
    assert find_protocol("bp4d_to_disfa").aus == find_protocol("disfa_to_bp4d").aus == shared
    assert find_protocol("bp4d_to_bp4dplus").aus == bp4d and find_protocol("disfa_to_disfaplus").aus == disfa


def test_people_of_disfaplus_do_not_train():
    across = find_protocol("disfa_to_disfaplus")
    tested = {name.partition(":")[2] for name in across.test_subjects(1)}
    assert len(tested) == 9 and not {f"disfa:{name}" for name in tested} & across.train_subjects(1)
    assert {f"disfa:{name}" for name in tested} <= {*across.parts["disfa"]}


def test_bp4d_folds_are_numbered_as_me_graphau_numbers_them():
    full = find_protocol("bp4d_3fold")
    assert "F004" in full.test_subjects(1) and "F003" in full.test_subjects(2) and "F001" in full.test_subjects(3)
    assert full.fold_number("jaanet_combine_1_2") == 1
    assert full.fold_number("aunet_ts3") == 3
    assert full.variants["all coded frames"] == 146_847


def test_modalities_come_in_canonical_order(tmp_path):
    assert load(tmp_path, GOOD).modalities == (Modality.VISUAL, Modality.DEPTH)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('b = ["M001"]', 'b = ["M001", "F002"]', "subject F002 is in a and in b"),
        ('train = ["a"]', 'train = ["a", "b"]', "fold 1 uses b twice"),
        ('b = ["M001"]', 'b = ["M001"]\nc = ["M002"]', "fold 1 leaves out c"),
        ('train = ["a"]', "train = []", "fold 1 needs a part to train on"),
        ('b = ["M001"]', "b = []", "b has no subject"),
        (GOOD[GOOD.index("[parts]") :], "parts = {}\nfolds = []\n", "needs at least one fold"),
        ('test = ["b"]', 'test = ["z"]', "unknown part 'z'"),
        ("threshold", "treshold", "did you mean 'threshold'?"),
        ("first = 1", "first = 3", "alias 'first'"),
        ('["depth", "visual"]', '["depth", "depth"]', "each once"),
        ("aus = [1, 2]", "aus = []", "needs at least one AU, and each once"),
        ("aus = [1, 2]", "aus = [1, 1]", "needs at least one AU, and each once"),
        ('name = "two"', "name = two", "is not TOML"),
    ],
)
def test_bad_protocol_is_one_line_that_names_the_file(tmp_path, old, new, message):
    with pytest.raises(ProtocolError) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    assert message in str(caught.value) and "two.toml" in str(caught.value) and "\n" not in str(caught.value)


def test_digest_follows_what_changes_numbers_and_nothing_else(tmp_path):
    first = load(tmp_path, GOOD)
    assert load(tmp_path, GOOD.replace("two subjects", "a title")).digest == first.digest
    assert load(tmp_path, GOOD.replace("first = 1", "other = 2")).digest == first.digest
    assert load(tmp_path, "# comment\n" + GOOD).digest == first.digest
    assert load(tmp_path, GOOD.replace("fraction = 0.2", "fraction = 0.3")).digest != first.digest
    assert load(tmp_path, GOOD.replace("version = 1", "version = 2")).digest != first.digest


def test_narrowing_changes_the_digest(tmp_path):
    first = load(tmp_path, GOOD)
    narrow = first.narrowed((Modality.DEPTH,))
    assert narrow.digest != first.digest and narrow.modalities == (Modality.DEPTH,)
    assert first.narrowed(first.modalities) == first
    with pytest.raises(UsageError, match="has no thermal"):
        first.narrowed((Modality.THERMAL,))
    with pytest.raises(UsageError, match="'depth,depth' names one twice"):
        first.narrowed(("depth", "depth"))


def test_narrowing_keeps_the_random_draws_even_when_read_back(tmp_path):
    first = load(tmp_path, GOOD)
    narrow = first.narrowed((Modality.DEPTH,))
    assert narrow.seed == first.seed == first.digest
    again = Protocol.model_validate(narrow.model_dump(mode="json"))
    assert (again.seed, again.digest) == (narrow.seed, narrow.digest)
    with pytest.raises(ProtocolError, match="'narrowed_from' is not allowed in a file"):
        load(tmp_path, GOOD.replace("version = 1", f'version = 1\nnarrowed_from = "{"0" * 64}"'))


def test_unknown_fold_and_protocol_name_the_nearest(tmp_path):
    with pytest.raises(UsageError, match="did you mean 'first'"):
        load(tmp_path, GOOD).fold_number("firts")
    with pytest.raises(UsageError, match="did you mean 'bp4d_3fold'"):
        find_protocol("bp4d_3flod")


@pytest.mark.parametrize(
    ("name", "count", "everything"), [("bp4d_3fold", 146_576, 146_847), ("disfa_3fold", 126_144, 130_814)]
)
def test_the_frames_that_jaanet_drops_make_up_the_difference(name, count, everything):
    full = find_protocol(name)
    variant = full.variants["JAA-Net (frames without landmarks dropped)"]
    dropped = sum(last - first + 1 for text in variant.without.values() for first, last in frame_ranges(text))
    assert (variant.count, dropped) == (count, everything - count)
    assert {count, everything} <= {*full.variant_counts.values()}
    chosen = Protocol.model_validate(full.model_dump() | {"variant": "JAA-Net (frames without landmarks dropped)"})
    assert chosen.digest != full.digest


def test_a_list_of_frames_is_in_the_digest_only_if_it_is_used(tmp_path):
    listed = GOOD + '[variants]\nall = 10\n[variants.few]\ncount = 7\nwithout = { "F001/T1" = "1-3" }\n'
    unused = load(tmp_path, listed)
    assert unused.digest == load(tmp_path, GOOD).digest and unused.frames_left_out == {}
    used = load(tmp_path, 'variant = "few"\n' + listed)
    assert used.frames_left_out == {"F001/T1": "1-3"} and used.digest != unused.digest
    assert load(tmp_path, ('variant = "few"\n' + listed).replace("1-3", "1-4")).digest != used.digest
    assert Protocol.model_validate(used.narrowed(["depth"]).model_dump(mode="json")).frames_left_out
    for old, new, message in (
        ('"few"\n', '"all"\n', "variant 'all' is not a list of frames"),
        ("F001/T1", "F009/T1", "names the unknown subject 'F009'"),
        ("1-3", "3-1", "'3-1' is not a frame number or a range like 198-201"),
        ("1-3", "1-", "'1-' is not a frame number"),
    ):
        with pytest.raises(ProtocolError, match=message):
            load(tmp_path, ('variant = "few"\n' + listed).replace(old, new, 1))
