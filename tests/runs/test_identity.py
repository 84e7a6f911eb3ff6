"""Identity of runs by content: code, weights files, helper modules and the store, not by their names."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import save_file

from aubench import Method
from aubench.api import check_method, list_methods
from aubench.core import hashing, method_versions, registry
from aubench.core.errors import UsageError
from aubench.leaderboard import verify
from aubench.leaderboard.records import StoredRecord
from aubench.runs import fold as fold_module
from aubench.runs import loading, pretraining, run_file
from aubench.runs.config import RunConfig
from aubench.runs.record_builder import write_record
from aubench.runs.run_options import RunOptions
from aubench.tuning.best_recipe import BestTrial
from aubench.tuning.search_config import SearchConfig
from aubench.tuning.space import Space

METHOD = """
import torch
from safetensors.torch import load_file
from torch import nn
from aubench import Fidelity, Method, MethodCard, Recipe

class MineRecipe(Recipe):
    weights: str = "none"
    several: tuple[str, ...] = ()

class Mine(Method):
    Recipe = MineRecipe
    card = MethodCard(title="Mine", paper="None", fidelity=Fidelity.EXACT)

    def __init__(self, task, recipe):
        super().__init__(task, recipe)
        self.head = nn.Linear(task.channels, len(task.aus))
        if recipe.weights != "none" and not self.head.weight.is_meta:
            self.head.load_state_dict(load_file(recipe.weights))

    def forward(self, inputs):
        colours = torch.cat([inputs[m].mean((2, 3)) for m in self.task.modalities], 1)
        return self.head(colours).float().sigmoid()
"""
HELPED = METHOD.replace("from torch import nn", "from torch import nn\nimport {0}").replace(
    "(colours)", "({0}.scale(colours))"
)
ENVIRONMENT = {"started": "2026-01-01T00:00:00Z", "packages": {}, "git": {"commit": None, "dirty": None}}
SMALL = {"image_size": 32, "crop": 28, "frames_per_epoch": 64, "epochs": 1, "validation_stride": 8}


@pytest.fixture
def config_for(decide, tmp_path, monkeypatch) -> Callable[..., RunConfig]:
    monkeypatch.chdir(tmp_path)
    return partial(decide, tmp_path / "runs", modalities=["visual", "depth"], **SMALL)


def write(path: str | Path, text: str) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    return str(path)


def write_weights(path: str, value: float) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    save_file({"weight": torch.full((12, 4), value), "bias": torch.zeros(12)}, path)
    return path


def finish(config: RunConfig) -> StoredRecord:
    run_file.write(config, {**ENVIRONMENT, "device": {"kind": "cpu", "name": "some"}})
    fold_module.run_fold(config, 1, "cpu", 0, lambda event: None)
    record = write_record(config)
    assert record is not None
    return StoredRecord(config.run_dir / "record", record)


def test_a_method_file_without_helpers_keeps_its_run_id(config_for):
    config = config_for(write("mine.py", METHOD))
    parts = {
        "method": "mine",
        "source": hashing.hash_file(Path("mine.py")),
        "protocol": config.protocol.digest,
        "store": config.store.digest,
        "recipe": config.recipe,
        "seed": 5,
        "selection": "inner_val",
        "precision": "32-true",
    }
    assert config.run_id == hashing.hash_json(parts)[:16]


@pytest.mark.slow
def test_other_weights_under_the_same_name_are_another_run_and_another_entry(config_for):
    method, weights = write("mine.py", METHOD), "weights.safetensors"
    first = config_for(method, weights=write_weights(weights, 0.1))
    first_record = finish(first)
    second = config_for(method, weights=write_weights(weights, 0.2))
    second_record = finish(second)
    assert first.run_id != second.run_id and first.recipe == second.recipe
    assert second_record.info.files == {"weights": hashing.hash_file(Path(weights))}
    assert first_record.info.files != second_record.info.files
    assert verify.row_key(first_record) != verify.row_key(second_record)
    assert json.loads((second.run_dir / "run.json").read_text())["files"] == second_record.info.files
    assert not verify.check_record(second_record)


def test_the_same_weights_in_another_folder_are_the_same_run(config_for):
    method = write("mine.py", METHOD)
    here = config_for(method, weights=write_weights("weights.safetensors", 0.1))
    there = config_for(method, weights=write_weights("other/first.safetensors", 0.1))
    other = config_for(method, weights=write_weights("third/weights.safetensors", 0.2))
    assert here.run_id == there.run_id != other.run_id


def test_files_in_lists_count_and_words_that_are_also_files_do_not(config_for):
    method = write("mine.py", METHOD)
    words = config_for(method)
    several = config_for(method, several=[write_weights("a.safetensors", 0.1), "none"])
    before = several.run_id
    write_weights("a.safetensors", 0.2)
    assert config_for(method, several=["a.safetensors", "none"]).run_id != before
    write("none", "a file of this name")
    write("inner_val", "another")
    assert config_for(method).run_id == words.run_id
    assert config_for("resnet_depth", weights="none").content.files == {}


def test_weights_replaced_during_a_run_are_refused(config_for):
    config = config_for(write("mine.py", METHOD), weights=write_weights("weights.safetensors", 0.1))
    sent = pickle.dumps(config)
    assert pickle.loads(sent).build_method() is not None
    write_weights("weights.safetensors", 0.2)
    received = pickle.loads(sent)
    assert received.run_id == config.run_id
    with pytest.raises(UsageError, match=r"weights.safetensors.*changed"):
        received.build_method()


def test_a_method_edited_during_a_run_is_refused(config_for):
    config = config_for(write("mine.py", METHOD))
    sent = pickle.dumps(config)
    write("mine.py", METHOD + "# edited\n")
    received = pickle.loads(sent)
    assert received.run_id == config.run_id
    with pytest.raises(UsageError, match=r"mine.py.*changed"):
        received.build_method()


@pytest.mark.slow
def test_a_finished_run_whose_weights_were_replaced_or_lost_names_the_file(config_for, small_store):
    config = config_for(write("mine.py", METHOD), weights=write_weights("weights.safetensors", 0.1))
    finish(config)
    assert loading.load_run(config.run_dir, small_store).run_id == config.run_id
    write_weights("weights.safetensors", 0.2)
    with pytest.raises(UsageError, match=r"weights.safetensors"):
        loading.load_run(config.run_dir, small_store)
    Path("weights.safetensors").unlink()
    with pytest.raises(UsageError, match=r"weights.safetensors"):
        loading.load_run(config.run_dir, small_store)


def test_shared_pretraining_depends_on_the_bytes_of_weights(config_for):
    method = write("mine.py", METHOD)

    def key(**changes: object) -> str:
        return pretraining._key(config_for(method, **changes), ["F001"])

    without, first = key(), key(weights=write_weights("weights.safetensors", 0.1))
    write_weights("weights.safetensors", 0.2)
    assert len({without, first, key(weights="weights.safetensors")}) == 3


def test_a_store_replaced_during_a_run_is_refused(config_for):
    config = config_for(write("mine.py", METHOD))
    assert config.open_store().info.digest == config.store.digest
    with pytest.raises(UsageError, match="changed"):
        replace(config, store=replace(config.store, digest="0" * 64)).load_data(1)


HELPER = "def scale(x):\n    return x * {}\n"


@pytest.mark.parametrize("name", ["helper", "layers.scaling", "through"])
def test_a_module_beside_the_method_is_imported_and_its_edits_make_another_run(config_for, name):
    folder, module = Path("code"), "helper" if name == "through" else name
    method = write(folder / "mine.py", HELPED.format(name))
    path = folder / f"{module.replace('.', '/')}.py"
    if name == "through":
        write(folder / "through.py", "def scale(x):\n    import helper\n    return helper.scale(x)\n")
    write(path, HELPER.format(1))
    first = config_for(method)
    inputs = {m: torch.ones(1, m.channels, 28, 28) for m in first.task.modalities}
    torch.manual_seed(0)
    before = first.build_method().eval()(inputs)
    write(path, HELPER.format(2))
    second = config_for(method)
    torch.manual_seed(0)
    after = second.build_method().eval()(inputs)
    assert first.run_id != second.run_id and not torch.equal(before, after)
    assert run_file.to_dict(second)["method"]["file"] != run_file.to_dict(first)["method"]["file"]
    assert pretraining._key(first, []) != pretraining._key(second, [])


@pytest.mark.slow
@pytest.mark.parametrize("way", ["variable", "statement"])
def test_edits_of_a_module_on_the_search_path_make_another_run(config_for, monkeypatch, way):
    monkeypatch.setattr(sys, "path", [*sys.path, *([str(Path("lib").absolute())] if way == "variable" else [])])
    text = HELPED.format("shared_layers")
    if way == "statement":
        text = f"import sys\nsys.path.append({str(Path('lib').absolute())!r})\n" + text
    method, seen = write("code/mine.py", text), []
    for factor in (1, 2):
        write("lib/shared_layers.py", HELPER.format(factor))
        config = config_for(method)
        torch.manual_seed(0)
        inputs = {m: torch.ones(1, m.channels, 28, 28) for m in config.task.modalities}
        seen.append((config.run_id, config.build_method().eval()(inputs).sum().item()))
    assert seen[0][0] != seen[1][0] and seen[0][1] != seen[1][1]


def test_helpers_of_the_same_name_in_two_folders_are_two_modules(config_for):
    runs = []
    for folder, factor in (("a", 1), ("b", 2), ("a", 1)):
        write(f"{folder}/helper.py", HELPER.format(factor))
        config = config_for(write(f"{folder}/mine.py", HELPED.format("helper")))
        torch.manual_seed(0)
        inputs = {m: torch.ones(1, m.channels, 28, 28) for m in config.task.modalities}
        runs.append((config.run_id, config.build_method().eval()(inputs).sum().item()))
    assert runs[0] == runs[2] and runs[0][0] != runs[1][0] and runs[0][1] != runs[1][1]
    assert not list(Path().rglob("__pycache__"))


def test_a_module_of_the_script_does_not_take_the_place_of_a_helper(monkeypatch, tmp_path):
    own = ModuleType("rates_of_method")
    own.FACTOR = 2.0
    monkeypatch.setitem(sys.modules, own.__name__, own)
    write(tmp_path / "rates_of_method.py", "FACTOR = 1.0\n")
    text = METHOD.replace('weights: str = "none"', "factor: float = rates_of_method.FACTOR")
    path = write(tmp_path / "mine.py", f"import rates_of_method\n{text}")
    assert registry.find_method(path).create_recipe("tiny", {}).factor == 1.0


def test_files_that_the_method_does_not_import_do_not_count(config_for):
    method = write("mine.py", METHOD)
    before = config_for(method).run_id
    write("notes.py", "x = 1")
    write("torch.py", "raise RuntimeError")
    assert config_for(method).run_id == before


class Installed:
    """Entry point of an installed package."""

    def __init__(self, version: str) -> None:
        self.name, self.module, self.dist = "theirs", "their_package.methods", self
        self.metadata, self.version = {"Name": "their-package"}, version

    def load(self):
        import importlib
        import sys

        for name in [name for name in sys.modules if name.startswith("their_package")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        return importlib.import_module(self.module).Mine


def test_an_installed_method_counts_with_its_version_and_its_code(config_for, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    write("site/their_package/__init__.py", "")
    write("site/their_package/methods.py", METHOD)
    ids = []
    for version in ("1.0", "1.1"):
        monkeypatch.setattr(registry, "entry_point_methods", lambda version=version: {"theirs": Installed(version)})
        ids.append(config_for("theirs").run_id)
    write("site/their_package/methods.py", METHOD + "# edited")
    config = config_for("theirs")
    assert len({*ids, config.run_id}) == 3
    assert len(run_file.to_dict(config)["method"]["file"]) == 64


def test_an_installed_method_that_does_not_load_is_one_line(config_for, monkeypatch):
    broken = metadata.EntryPoint("theirs", "no_such_package.methods:Mine", registry.GROUP)
    monkeypatch.setattr(registry, "entry_point_methods", lambda: {"theirs": broken})
    with pytest.raises(UsageError, match="ModuleNotFoundError"):
        config_for("theirs")


@pytest.mark.parametrize(
    ("loaded", "problem"),
    [
        ("aubench:masked_bce", "is no subclass of aubench.Method"),
        ("aubench:MethodCard", "is no subclass of aubench.Method"),
        ("aubench:Method", "Method lacks forward"),
        (f"{__name__}:WithoutCard", "WithoutCard has no card"),
    ],
)
def test_an_entry_point_that_is_no_method_is_one_line(monkeypatch, loaded, problem):
    point = metadata.EntryPoint("theirs", loaded, registry.GROUP)
    monkeypatch.setattr(registry, "entry_point_methods", lambda: {"theirs": point})
    with pytest.raises(UsageError, match=f"^entry point 'theirs': {problem}"):
        registry.find_method("theirs")


def test_the_list_of_methods_skips_and_names_one_for_other_aus(monkeypatch, capsys):
    point = metadata.EntryPoint("theirs", f"{__name__}:ForOtherAUs", registry.GROUP)
    monkeypatch.setattr(registry, "entry_point_methods", lambda: {"theirs": point})
    monkeypatch.setattr(registry, "builtin_methods", lambda: ["late_fusion"])
    assert list_methods()["method"].tolist() == ["late_fusion"]
    assert "skipped theirs: supports no task with the AUs 1 to 12" in capsys.readouterr().err


class WithoutCard(Method):
    def forward(self, inputs):
        return None


class ForOtherAUs(registry.find_method("late_fusion").method_class):
    @classmethod
    def unsupported_reason(cls, task, recipe):
        return None if 25 in task.aus else "needs AU25"


@pytest.mark.parametrize("name", [[], None, 3, Method])
def test_a_value_that_is_no_name_of_a_method_is_one_line(name):
    with pytest.raises(UsageError, match=r"^NAME\|PATH: .* is no name; give a name, or the path of a .py file$"):
        check_method(name)


def test_a_new_version_of_a_built_in_method_is_another_run_and_another_search(config_for, monkeypatch):
    before = config_for("late_fusion")
    old_id, old_source = before.run_id, before.source
    changes = (*method_versions.changes(), ("Another initialisation.", ("late_fusion",)))
    monkeypatch.setattr(method_versions, "changes", lambda: changes)
    after, other = config_for("late_fusion"), config_for("resnet_depth")
    assert old_id != after.run_id and old_source != after.source
    assert run_file.to_dict(after)["method"]["version"] == before.entry.version + 1
    assert other.entry.version == before.entry.version


@pytest.mark.slow
def test_a_search_and_the_run_of_its_recipe_have_the_same_code_and_weights(config_for):
    method, weights = write("mine.py", METHOD), write_weights("weights.safetensors", 0.1)
    config = config_for(method, weights=weights)
    search = SearchConfig("s", config, {"weights": weights}, (1,), Space({}), 0, "random", "none")
    binding = search.binding()
    assert binding["source"] == hashing.hash_file(Path(method))
    assert binding["files"] == {"weights": hashing.hash_file(Path(weights))}
    options = RunOptions("tiny", {}, runs=Path("runs"))
    best = BestTrial(method, config.protocol, options, "", 0, binding["source"], binding["files"])
    best.check(config)
    write_weights(weights, 0.2)
    with pytest.raises(UsageError, match=r"weights.safetensors.*since the search"):
        best.check(config_for(method, weights=weights))
    write_weights(weights, 0.1)
    with pytest.raises(UsageError, match=r"mine.py.*since the search"):
        best.check(config_for(write("mine.py", METHOD + "# edited"), weights=weights))
    assert "files" not in replace(search, base_config=config_for(method)).binding()
