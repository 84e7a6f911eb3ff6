"""Invalid input to a run: one line, exit code 2, and no partial file."""

from __future__ import annotations

import logging
import pickle
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
from factories.command_words import changed

from aubench.core.registry import find_protocol

LEADERBOARD = Path(__file__).parents[2] / "leaderboard"
RUN = ("run", "--no-track", "--protocol", "synth_3fold")


def refused(answer, *words: str) -> None:
    assert answer.code == 2, answer
    assert answer.err.startswith("aubench: ") and answer.err.count("\n") == 1, answer.err
    for word in words:
        assert word in answer.err


@pytest.fixture
def store(small_store, tmp_path) -> Path:
    """Copy of the small store that a test may damage."""
    return Path(shutil.copytree(small_store, tmp_path / "store"))


def nothing_written() -> bool:
    return not Path("runs").exists() and not Path("leaderboard").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--method", "amff"), ("no method 'amff'", "did you mean 'amf'?")),
        (("--method", "late_fusion,"), ("no method ''",)),
        (("--method", "missing.py"), ("missing.py", "no such file")),
        (("--method", "amf", "--protocol", "synth_3fld"), ("no protocol 'synth_3fld'", "did you mean 'synth_3fold'?")),
        (("--method", "amf", "--fold", "7"), ("no fold '7'",)),
        (("--method", "amf", "--seed", "x"), ("--seed", "'x'")),
        (("--method", "amf", "--selection", "best"), ("--selection", "'best'")),
        (("--method", "amf", "--precision", "float8"), ("--precision", "'float8'")),
        (("--method", "amf", "--modalities", "visul,depth"), ("did you mean 'visual'?",)),
        (("--method", "amf", "--modalities", "thermal"), ("synth_3fold has no thermal",)),
        (("--method", "amf", "--modalities", "visual,visual"), ("--modalities", "names one twice")),
        (("--method", "amf", "--set", "epochs"), ("'epochs' is not KEY=VALUE",)),
        (("--method", "amf", "--set", "epochs=2", "--set", "epochs=3"), ("--set: epochs is given twice",)),
        (("--method", "amf", "--pretrained", "none", "--set", "weights=mae"), ("--pretrained: is also set by --set",)),
        (("--method", "~nobody_of_this_name/own.py"), ("own.py", "no such file")),
        (("--method", "amf", "--protocol", "~nobody_of_this_name/own.toml"), ("own.toml", "no such file")),
        (("--method", "amf", "--runs", ""), ("the argument '' is empty",)),
        (("--method", "amf", "--runs="), ("the argument '--runs=' is empty",)),
        (("--method", "amf", "--storage", "sqlite:///a.db"), ("--storage", "name the study with --from-study")),
    ],
)
def test_name_that_does_not_exist_names_the_nearest(call, words, parts):
    refused(call(*changed(RUN, words)), *parts)
    assert nothing_written()


@pytest.mark.parametrize("words", [("--method", "own.py"), ("--method", "amf", "--protocol", "own.toml")])
def test_folder_with_the_name_of_a_file(call, words):
    Path(words[-1]).mkdir()
    refused(call(*changed(RUN, words)), f"{words[-1]}: is a folder; give the path of")
    assert nothing_written()


@pytest.mark.parametrize("command", [RUN, ("tune", "--protocol", "synth_3fold", "--trials", "1")])
def test_file_instead_of_the_folder_of_runs(call, command):
    Path("file").touch()
    refused(
        call(*command, "--method", "amf", "--runs", "file"), "aubench: file: is a file; give the folder of all runs"
    )


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--set", "learning_rat=1"), ("no recipe key 'learning_rat'", "did you mean 'learning_rate'?")),
        (("--set", "learning_rate=fast"), ("learning_rate", "'fast'")),
        (("--set", "epochs=0"), ("epochs",)),
        (("--set", "epochs=true"), ("recipe key 'epochs': is a number, not true or false (got True)",)),
        (("--set", "weight_decay=false"), ("recipe key 'weight_decay': is a number, not true or false",)),
        (("--set", "epochs=1000000000000000000000"), ("recipe key 'epochs': is beyond ±9,223,372,036,854,775,807",)),
        (("--set", "crop=100"), ("crop 100 is larger than image_size 64",)),
        (("--preset", "tinny"), ("no preset 'tinny'", "did you mean 'tiny'?")),
        (("--modalities", "visual"), ("amf: does not support synth_3fold",)),
        (("--device", "gpu"), ("no device 'gpu'",)),
        (("--device", "cpu", "--precision", "tf32"), ("'tf32' needs an NVIDIA GPU, not cpu",)),
        (("--device", "cpu", "--runs-per-device", "2"), ("--runs-per-device: needs a GPU",)),
    ],
)
def test_recipe_or_task_that_does_not_fit(call, store, words, parts):
    refused_words = call(*RUN, "--method", "amf", "--store", store, *words)
    assert refused_words.code == 2
    last = refused_words.err.splitlines()[-1]
    assert last.startswith("aubench: ") and all(word in last for word in parts)
    assert nothing_written()


@pytest.mark.parametrize("command", [RUN, ("tune", "--no-track", "--protocol", "synth_3fold", "--trials", "1")])
@pytest.mark.parametrize(("methods", "named"), [("late_fusion,mcm", "mcm"), ("all", "au_vmae")])
def test_recipe_of_several_methods_that_does_not_fit_names_the_method(call, small_store, command, methods, named):
    words = ("--method", methods, "--store", small_store)
    answer = call(*command, *words, "--preset", "tiny", "--set", "epochs=1")
    refused(answer, f"aubench: {named}: recipe: epochs is 1 and must exceed warmup_epochs")
    answer = call(*command, *words, "--set", "cut_switch=0.5")
    refused(answer, f"aubench: {named}: --set: no recipe key 'cut_switch'")
    assert nothing_written()


def test_all_methods_where_none_supports_the_protocol_is_refused(call, small_store, monkeypatch):
    monkeypatch.setattr("aubench.core.registry.builtin_methods", lambda: ["cam", "resnet_depth"])
    words = ("--method", "all", "--modalities", "visual", "--store", small_store)
    for command in (RUN, ("tune", "--no-track", "--protocol", "synth_3fold", "--trials", "1")):
        answer = call(*command, *words)
        assert answer.code == 2
        *skipped, last = answer.err.splitlines()
        assert [line.split(":")[0] for line in skipped] == ["skipped cam", "skipped resnet_depth"]
        assert last.startswith("aubench: --method: no built-in method supports synth_3fold; give the file of")
    assert nothing_written()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("track", "sync", "--runs", "typo"), ("typo: no such folder",)),
        (
            ("data", "check", "synt"),
            ("synt: no store of synt here, and no data set of this name; did you mean 'synth'?",),
        ),
        (("data", "show", "synt", "--out", "a.png"), ("no store of synt here", "did you mean 'synth'?")),
        (("data", "check", "bp4d"), ("no store of bp4d here; make one with `aubench data prepare bp4d --source DIR`",)),
        (("reproduce", "--all", "amf-table-1"), ("--all: excludes names",)),
        (("methods", "--page", "a.md", "--format", "xml"), ("no format 'xml'",)),
        (("robustness", "--suite", "~nobody_of_this_name/own.toml"), ("own.toml: no such file",)),
        (("leaderboard", "build", "--root", ""), ("the argument '' is empty",)),
        (("test-method", "amff"), ("NAME|PATH: no method 'amff'", "did you mean 'amf'?")),
        (("leaderboard", "reproduce", "0", "--root", "typo"), ("typo: no leaderboard here; give its folder",)),
        (("leaderboard", "draw", "synth_3fold", "--out", "picture"), ("picture: has no ending; use .png or .svg",)),
        (("profile", "--method", "amf", "--device", "gpu"), ("no device 'gpu'; did you mean 'cuda'?",)),
    ],
)
def test_options_of_other_commands_that_do_not_fit(call, words, parts):
    refused(call(*words), *parts)
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ("status", "note.txt"),
        ("cancel", "note.txt"),
        ("bench", "--device", "cpu", "--out", "note.txt"),
        ("profile", "--method", "amf", "--out", "note.txt"),
        ("data", "count-labels", "STORE", "--out", "note.txt"),
    ],
)
def test_file_in_the_place_of_an_output_or_a_folder_is_kept(call, small_store, words):
    Path("note.txt").write_text("important\n")
    answer = call(*(small_store if word == "STORE" else word for word in words))
    refused(answer, "note.txt: ", "; ")
    assert "does not exist" not in answer.err and Path("note.txt").read_text() == "important\n"


@pytest.mark.parametrize("out", ["note.txt", "note.txt/deep", "/proc/none/deep", "dangling"])
@pytest.mark.parametrize(
    "words",
    [
        ("reproduce", "--all", "--root", LEADERBOARD),
        ("robustness",),
        ("profile", "--method", "amf"),
        ("score", "p.csv", "--protocol", "synth_3fold", "--name", "m"),
    ],
)
def test_folder_of_results_is_checked_before_the_work(call, monkeypatch, words, out):
    runs = [SimpleNamespace(protocol=find_protocol("synth_3fold"), run_dir=Path("run"))]
    monkeypatch.setattr("aubench.api.robustness_evaluation._select_runs", lambda *_: [])
    monkeypatch.setattr("aubench.api.robustness_evaluation._load_runs", lambda *_: runs)
    Path("note.txt").write_text("important\n")
    Path("dangling").symlink_to("nowhere")
    before = sorted(Path().rglob("*"))
    answer = call(*words, "--out", out)
    refused(answer, f"{out}: ")
    assert answer.err.count("\n") == 1 and ("; give the path of a folder" in answer.err or "written" in answer.err)
    assert sorted(Path().rglob("*")) == before and Path("note.txt").read_text() == "important\n"


@pytest.mark.parametrize("runs", ["note.txt", "note.txt/deep", "/proc/none/deep"])
@pytest.mark.parametrize("words", [("run",), ("tune", "--trials", "2")])
def test_folder_of_runs_is_checked_before_a_store_is_generated(call, words, runs):
    Path("note.txt").write_text("important\n")
    answer = call(*words, "--no-track", "--method", "amf", "--protocol", "synth_3fold", "--runs", runs)
    refused(answer, f"{runs}: ")
    assert list(Path().iterdir()) == [Path("note.txt")]


@pytest.mark.parametrize(
    ("words", "ending"),
    [
        (("compare", "nothing", "--out"), ".png"),
        (("bench", "--device", "cpu", "--out"), ".png"),
        (("methods", "--page"), ".md"),
        (("methods", "--catalogue"), ".json"),
        (("data", "show", "synth", "--out"), ".png"),
        (("data", "count-labels", "nothing", "--out"), ".json"),
        (("leaderboard", "check", "--base", "main", "--out"), ".png"),
        (("leaderboard", "draw", "synth_3fold", "--out"), ".png"),
        (("leaderboard", "export"), ".csv"),
        (("plot", "cut-switch", "--method", "amf", "--protocol", "synth_3fold", "--out"), ".png"),
    ],
)
def test_file_of_results_is_checked_before_the_work(call, words, ending):
    folder = f"folder{ending}"
    Path(folder).mkdir()
    Path("note.txt").write_text("important\n")
    for out, part in (
        (folder, f"{folder}: is a folder; give the path of a file"),
        (f"note.txt/a{ending}", "note.txt is a file; give another path"),
        (f"/proc/none/a{ending}", f"/proc/none/a{ending}: cannot be written"),
    ):
        refused(call(*words, out), part)
    assert sorted(map(str, Path().rglob("*"))) == [folder, "note.txt"]


def test_folder_in_the_place_of_a_suite_is_not_called_missing(call):
    Path("own.toml").mkdir()
    answer = call("robustness", "--suite", "own.toml")
    refused(answer, "own.toml: is a folder; give the path of a suite in TOML")


def test_method_in_a_file_of_another_kind_has_a_remedy(call):
    Path("notebook.ipynb").write_text("{}")
    answer = call("test-method", "notebook.ipynb")
    refused(answer, "no method 'notebook.ipynb'; the name of a method's file ends in .py")


@pytest.mark.parametrize(
    ("words", "file"),
    [
        (("test-method", "my_gate"), "my_gate.py"),
        (("run", "--no-track", "--method", "my_gate", "--protocol", "synth_3fold"), "my_gate.py"),
        (("run", "--no-track", "--method", "amf", "--protocol", "lab/mine"), "lab/mine.toml"),
    ],
)
def test_name_of_a_file_without_its_extension_has_a_remedy(call, words, file):
    Path("lab").mkdir()
    Path(file).write_text("")
    refused(call(*words), f"'{file.rpartition('.')[0]}'; a file is given with its extension: {file}")


def test_protocol_in_a_file_of_another_kind_has_a_remedy(call):
    Path("mine.yaml").write_text("")
    answer = call("run", "--no-track", "--method", "amf", "--protocol", "mine.yaml")
    refused(answer, "no protocol 'mine.yaml'; the name of a protocol's file ends in .toml")


@pytest.mark.parametrize("option", ["--method", "--protocol"])
def test_name_that_no_file_can_have_is_unknown(call, option):
    words = {"--method": "amf", "--protocol": "synth_3fold", option: "long" * 100}
    refused(call("run", "--no-track", *(word for pair in words.items() for word in pair)), f"no {option[2:]} 'longlong")


def test_missing_store_says_how_to_make_one(call):
    answer = call("run", "--no-track", "--method", "amf", "--protocol", "bp4d_3fold")
    refused(answer, "no store of bp4d here", "aubench data prepare bp4d --source DIR")
    assert nothing_written()


@pytest.mark.parametrize("name", ["arrays/F001/T1.depth.npy", "frames.parquet", "store.json"])
def test_store_with_a_changed_byte_is_refused(call, store, name):
    path = store / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    refused(call(*RUN, "--method", "amf", "--store", store), name, "delete the store and make it again")
    refused(call("data", "check", "synth", "--store", store), name)
    assert nothing_written()


@pytest.mark.slow
def test_changed_byte_is_found_even_if_the_file_looks_untouched(call, store):
    """``data check`` reads everything, whatever size and time of change say."""
    import os

    assert call("data", "check", "synth", "--store", store).code == 0
    path = store / "arrays/M018/T1.visual.npy"
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    refused(call("data", "check", "synth", "--store", store), "M018/T1.visual.npy", "has changed")


def test_store_with_a_missing_array_is_refused(call, store):
    (store / "arrays/F001/T1.depth.npy").unlink()
    refused(call(*RUN, "--method", "amf", "--store", store), "T1.depth.npy", "is missing")


def test_subject_in_two_folds_is_refused(call, tmp_path):
    from aubench.core.registry import builtin_protocols

    text = builtin_protocols()["synth_3fold"].read_text().replace('"F003"', '"F001"', 1)
    (tmp_path / "mine.toml").write_text(text)
    refused(
        call("run", "--method", "amf", "--protocol", "mine.toml"),
        "mine.toml",
        "subject F001 is in part1 and in part2",
    )


def test_file_with_two_methods_or_none_is_refused(call, tmp_path):
    (tmp_path / "none.py").write_text("x = 1\n")
    refused(call(*RUN, "--method", "none.py"), "none.py", "defines 0 Method subclasses")
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    refused(call(*RUN, "--method", "broken.py"), "broken.py", "nothing_of_that_name")


COLOUR = """
import torch
from aubench import MethodCard, Fidelity, Method, PretrainingSource, Recipe

class Colour(Method):
    card = MethodCard(title={title!r}, paper="None", fidelity=Fidelity.EXACT)

    def __init__(self, task, recipe):
        super().__init__(task, recipe)
        self.head = torch.nn.Linear(task.channels, len(task.aus))

    def forward(self, inputs):
        colours = torch.cat([inputs[m].mean((2, 3)) for m in self.task.modalities], 1)
        {more}
        return self.head(colours).sigmoid()
"""


@pytest.mark.parametrize(
    ("file", "title", "more", "parts"),
    [
        ("my.method.py", "Colour", "pass", "my.method.py: has a name that no record can hold"),
        ("colour.py", "C" * 301, "pass", "colour.py: has a title that no record can hold"),
        ("colour.py", "Colour", "assert float(colours.sum()) < 1e9", "Colour: cannot be counted on the meta device"),
    ],
)
def test_what_would_end_without_a_record_is_refused_before_training(call, store, tmp_path, file, title, more, parts):
    (tmp_path / file).write_text(COLOUR.format(title=title, more=more))
    answer = call("run", "--protocol", "synth_3fold", "--store", store, "--method", file, "--no-track")
    assert answer.code == 2 and answer.err.splitlines()[-1].startswith(f"aubench: {parts}"), answer
    assert not (tmp_path / "runs").exists()


def test_sources_of_weights_that_no_record_can_hold_are_refused_before_training(call, store, tmp_path):
    recipe = """
    class Recipe(Recipe):
        def pretraining_sources(self):
            return (PretrainingSource("two\\nlines", ("unknown",)),)
    """
    text = COLOUR.format(title="Colour", more="pass").replace("    def __init__", f"{recipe}\n    def __init__")
    (tmp_path / "colour.py").write_text(text)
    answer = call("run", "--protocol", "synth_3fold", "--store", store, "--method", "colour.py", "--no-track")
    line = "aubench: colour.py: has a source of pre-training that no record can hold: 'two\\nlines', ['unknown']; "
    assert answer.code == 2 and answer.err.splitlines()[-1].startswith(line), answer
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_weights_in_a_pickle_are_refused(call, store, tmp_path):
    (tmp_path / "w.pt").write_bytes(pickle.dumps({"conv1.weight": 1}))
    answer = call(
        *RUN, "--method", "resnet_depth", "--store", store, "--set", "backbone=resnet18", "--set", "weights=w.pt"
    )
    assert answer.code == 2
    assert "w.pt" in answer.err.splitlines()[-1] and "not a safetensors file" in answer.err
    assert "Traceback" not in answer.err
    assert not list(Path("runs").rglob("*.safetensors"))


FULL = """
    import resource, signal, sys
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
    sys.argv = ["aubench", *sys.argv[1:]]
    from aubench.cli.main import main
    main()
"""


@pytest.mark.slow
def test_full_disk_while_a_store_is_written_leaves_no_half_file(tmp_path):
    """The system refuses every file past 40 kB, as a full disk would."""
    command = [sys.executable, "-c", textwrap.dedent(FULL), "data", "prepare", "synth", "--store", "s", "--size", "64"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert "the disk is full" in last and "free some space" in last and "Traceback" not in done.stderr
    assert not (tmp_path / "s").exists()
    assert not [p for p in (tmp_path / "s.partial").rglob("*") if p.name.endswith(".tmp")]
    assert all(p.stat().st_size < 40_000 for p in (tmp_path / "s.partial").rglob("*.npy"))


def test_a_folder_that_cannot_be_made_is_one_line(call, tmp_path):
    (tmp_path / "runs").write_text("a file")
    done = call("reproduce", "--root", "runs")
    refused(done, "runs")
    refused(call("methods", "--page", "runs/methods.md"), "runs")


@pytest.mark.parametrize(
    ("seeds", "parts"),
    [("1,two", "'1,two' is not a seed"), *((digits, "is larger than") for digits in ("9" * 16, "1" * 5000))],
)
def test_a_seed_that_no_record_can_hold_is_refused_before_training(call, seeds, parts):
    refused(call(*RUN, "--method", "amf", "--seed", seeds), "--seed", parts)


@pytest.mark.parametrize("words", [("test-method", "script.py"), ("--plugin", "script.py", "methods")])
def test_a_file_that_exits_during_its_import_is_named(call, words):
    Path("script.py").write_text("import sys\nsys.exit()\n")
    refused(call(*words), "script.py: cannot be loaded (SystemExit", "under `if __name__")


FAILING = """
import torch

from aubench import Fidelity, Method, MethodCard


class Failing(Method):
    card = MethodCard(title="Failing", paper="None", fidelity=Fidelity.EXACT)

    def __init__(self, task, recipe):
        super().__init__(task, recipe)
        self.head = torch.nn.Linear(task.channels, len(task.aus))

    def forward(self, inputs):
        return self.head(inputs[self.task.modalities[0]].mean((2, 3))).sigmoid()
"""


def test_code_of_a_method_that_fails_is_named_without_a_log_of_pytorch(call):
    Path("failing.py").write_text(FAILING)
    answer = call("test-method", "failing.py")
    fault = (
        "on VD: RuntimeError: mat1 and mat2 shapes cannot be multiplied (6x3 and 4x12) (line 15 of the method's file)"
    )
    assert f"FAIL gives probabilities: {fault}\n" in answer.out
    assert answer.code == 1 and answer.err.startswith("aubench: failing.py: ") and answer.err.count("\n") == 1


def test_counting_operations_leaves_the_log_level_of_pytorch(call):
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    level = logger.level
    test_code_of_a_method_that_fails_is_named_without_a_log_of_pytorch(call)
    assert logger.level == level
