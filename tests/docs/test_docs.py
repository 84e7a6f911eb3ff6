"""Claims of README and docs: links, commands, snippets, the example method, records and descriptions."""

import ast
import functools
import re
import shlex
import subprocess
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from aubench import api
from aubench.api.dataframe_view import DataFrameView
from aubench.core import protocol_file, registry
from aubench.core.protocol import Protocol
from aubench.data.splits import ProtocolDataset
from aubench.data.store import Store
from aubench.metrics.scores import summary_of
from aubench.results.record_info import RecordInfo
from aubench.tracking.run_export import TrackedRun

ROOT = Path(__file__).parents[2]
TOP = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
PAGES = [*TOP, *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLE = ROOT / "docs/examples/mean_fusion.py"
SET_UP = 'python3 -m venv .venv && .venv/bin/pip install --quiet "tox>=4.21" && '
SMALL = ["--set", "image_size=32", "--set", "crop=28", "--set", "frames_per_epoch=64", "--set", "epochs=3"]

LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"(?:<!-- (?P<mark>\w+) -->\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(kind: str, page: Path) -> list[tuple[str | None, str]]:
    """Mark and text of each fenced block of a kind."""
    return [(m["mark"], m["text"]) for m in FENCE.finditer(page.read_text()) if m["kind"] == kind]


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def test_the_page_finder_sees_what_is_there():
    assert {"README.md", "docs/architecture.md", "docs/troubleshooting.md"} <= set(map(name, PAGES))
    assert sum(len(LINK.findall(prose(page))) for page in PAGES) > 20
    assert len(COMMANDS) > 20 and len(SNIPPETS) >= 5


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_somewhere(page):
    for link in LINK.findall(prose(page)):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{link} does not exist"
        if anchor:
            assert anchor in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize(("mark", "rest"), [("demo", ".venv/bin/tox run -e demo"), ("tests", ".venv/bin/tox run")])
def test_readme_sets_everything_up_by_one_command(mark, rest):
    marked = [text for name, text in blocks("bash", ROOT / "README.md") if name == mark]
    assert marked == [f"{SET_UP}{rest}\n"]
    reader = re.search(r"^command_after\(\) .*$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    script = f"{reader[0]}\ncommand_after {mark}"
    read = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert read.stdout == marked[0]


def written_commands() -> list[tuple[str, str, bool]]:
    """Page, command and whether it is complete, of every call of aubench in the documentation."""
    commands = []
    for page in PAGES:
        for _, text in blocks("bash", page):
            lines = text.replace("\\\n", " ").splitlines()
            commands += [(name(page), line, True) for line in lines if line.startswith("aubench ")]
        inline = re.findall(r"`(aubench [^`]+)`", prose(page))
        commands += [(name(page), command, False) for command in inline]
    return list(dict.fromkeys(commands))


COMMANDS = written_commands()


@functools.cache
def root_command():
    import typer

    from aubench.cli.main import app

    return typer.main.get_command(app)


def subcommands(command) -> dict:
    """Sub-commands of a group by name, also those that are generated from a registry."""
    if not hasattr(command, "list_commands"):
        return {}
    return {word: command.get_command(None, word) for word in command.list_commands(None)}


@pytest.mark.slow
@pytest.mark.parametrize(("page", "command", "complete"), COMMANDS, ids=[f"{p}: {c}" for p, c, _ in COMMANDS])
def test_every_command_exists_with_its_options(page, command, complete):
    current, words = root_command(), shlex.split(command, comments=True)[1:]
    while words and words[0] in subcommands(current):
        current, words = subcommands(current)[words[0]], words[1:]
    known = {option for parameter in current.params for option in (*parameter.opts, *parameter.secondary_opts)}
    known.add("--help")
    assert not [word for word in words if word.startswith("--") and word not in known]
    if hasattr(current, "commands"):
        is_placeholder = bool(words) and not complete and words[0].isupper()
        assert not words or words[0].startswith("--") or is_placeholder, f"no command '{words[0]}'"
    elif complete:
        current.make_context(command, list(words))  # raises on missing, unknown and surplus words


@pytest.mark.parametrize("option", ["--devise", "--methods"])
def test_a_misspelt_option_is_detected(option):
    with pytest.raises(AssertionError):
        test_every_command_exists_with_its_options("", f"aubench run {option} x", True)


def snippets() -> list[tuple[str, str]]:
    return [(name(page), text) for page in PAGES for mark, text in blocks("python", page) if mark == "tested"]


SNIPPETS = snippets()
QUICK_SNIPPETS = [(page, text) for page, text in SNIPPETS if "aubench.run(" not in text]
"""Snippets that train nothing; `test_notebooks.py` runs the others."""


def test_every_python_snippet_is_tested():
    assert [page for page, text in SNIPPETS if (page, text) not in QUICK_SNIPPETS] == ["README.md"]
    assert len(SNIPPETS) == sum(len(blocks("python", page)) for page in PAGES)


@pytest.fixture
def record_folder(tmp_path, monkeypatch, make_record):
    record = make_record("amf")
    record.write(tmp_path / "record")
    monkeypatch.chdir(tmp_path)
    return record


@pytest.mark.slow
@pytest.mark.parametrize(("page", "text"), QUICK_SNIPPETS, ids=[f"{p}-{i}" for i, (p, _) in enumerate(QUICK_SNIPPETS)])
def test_snippet_runs(page, text, record_folder, small_store, monkeypatch):
    monkeypatch.setenv("AUBENCH_STORES", str(small_store.parent))
    exec(compile(text, page, "exec"), {"__name__": "snippet"})


@pytest.mark.slow
@pytest.mark.parametrize("field", ["f1_mean", "auc"])
def test_headline_numbers_by_hand_equal_the_record(field, record_folder, capsys):
    (text,) = [text for _, text in SNIPPETS if re.search(rf"^{field} = ", text, re.MULTILINE)]
    assert len(text.splitlines()) <= 11
    namespace: dict[str, float] = {}
    exec(text, namespace)
    stated = summary_of(record_folder).value(field.removesuffix("_mean"))
    assert namespace[field] == pytest.approx(stated, abs=1e-6)
    assert 0.05 < stated < 0.999
    assert capsys.readouterr().out.strip() == f"{100 * stated:.1f}"


@pytest.mark.slow
def test_the_method_in_the_readme_keeps_the_contract(tmp_path):
    from aubench.testing.check_method import check_method

    (text,) = [text for page, text in SNIPPETS if page == "README.md" and "(Method)" in text]
    (tmp_path / "mean_colour.py").write_text(text)
    results = check_method(registry.find_method(str(tmp_path / "mean_colour.py")))
    assert [result for result in results if not result.passed] == []


@pytest.mark.slow
def test_the_example_is_short_and_keeps_the_contract():
    from aubench.testing.check_method import CHECKS, check_method

    assert len(EXAMPLE.read_text().splitlines()) <= 40
    results = check_method(registry.find_method(str(EXAMPLE)))
    assert [result for result in results if not result.passed] == []
    assert [result.name for result in results] == list(CHECKS)


@pytest.mark.slow
def test_the_example_of_pre_training_keeps_the_contract():
    from aubench.testing.check_method import check_method

    results = check_method(registry.find_method(str(EXAMPLE.with_name("colour_autoencoder.py"))))
    assert [result for result in results if not result.passed] == []


@pytest.mark.slow
def test_the_example_runs_and_reaches_a_leaderboard(call, small_store):
    words = ("run", "--no-track", "--method", EXAMPLE, "--protocol", "synth_3fold", "--store", small_store, *SMALL)
    done = call(*words)
    assert done.code == 0, done.err
    assert "mean_fusion" in done.out and "3/3" in done.out
    added = call("leaderboard", "add", "runs/synth_3fold/mean_fusion", "--root", "my-leaderboard")
    assert added.code == 0, added.err
    shown = call("leaderboard", "show", "--root", "my-leaderboard")
    assert shown.code == 0 and "mean_fusion" in shown.out


def test_the_protocol_in_the_docs_loads_and_fits_synth(tmp_path, small_store):
    def load(text: str) -> Protocol:
        (tmp_path / "mine.toml").write_text(text)
        return protocol_file.load(tmp_path / "mine.toml")

    text, split, frames, across = (text for _, text in blocks("toml", ROOT / "docs/datasets.md"))
    roles = ProtocolDataset(Store(small_store), load(text)).split(1, validation=True)
    assert all(len(rows) for rows in (roles.train, roles.val, roles.test))
    parts = text.partition("[[folds]]")[0].replace('b = ["M001", "M002"]', 'b = ["M001"]\nc = ["M002"]')
    assert load(parts + split).roles(1) == ({"F001", "F002"}, {"M001"}, {"M002"})
    variant, _, listed = frames.partition("\n\n")
    chosen = load(variant + "\n" + text.replace("[variants]", "") + listed)
    assert chosen.frames_left_out == {"F001/T1": "0-2, 11", "M002": "3-5"}
    head = [line for line in text.partition("[parts]")[0].splitlines() if not line.startswith(("dataset", "labels"))]
    assert load("\n".join(head) + "\n" + across).roles(1)[0] == {"bp4d:F002", "bp4d:F003"}


RUN = re.compile(r"(?:\b(\w+)/(\w+)/)?\b([0-9a-f]{16})\b")
RECORDS = {path.parts[-4:-1] for path in (ROOT / "leaderboard").glob("**/records/*/*/*/record.json")}


def written_runs() -> list[tuple[str, tuple[str, str, str]]]:
    """Page and protocol, method (both empty where they are not said) and id of every run in the documentation."""
    return [(name(page), reference) for page in PAGES for reference in RUN.findall(page.read_text())]


@pytest.mark.slow
def test_every_run_in_the_documentation_has_its_record():
    ids = {run for _, _, run in RECORDS}
    assert len(written_runs()) >= 5
    assert [reference for reference in written_runs() if reference[1][2] not in ids] == []
    full_references = [reference for reference in written_runs() if reference[1][0]]
    assert len(full_references) >= 3
    assert [reference for reference in full_references if reference[1] not in RECORDS] == []


def test_the_folds_in_the_methodology_are_those_of_the_protocol():
    text = (ROOT / "docs/methodology.md").read_text()
    fold_protocol = registry.find_protocol("bp4d_3fold")
    for part, subjects in fold_protocol.parts.items():
        number = fold_protocol.aliases[part]
        assert f"| {part} ({len(subjects)}) | {' '.join(subjects)} | fold {number} |" in text
        assert set(subjects) == fold_protocol.test_subjects(number)
    for alias, number in fold_protocol.aliases.items():
        assert re.search(rf"^\| {number} \|.*`{alias}`", text, re.MULTILINE), alias
    for count in fold_protocol.variant_counts.values():
        assert f"{count:,}" in text


def test_the_record_is_described_field_by_field():
    from aubench.results.schema import StoredSummary

    text = (ROOT / "docs/results-format.md").read_text()
    for field in (*RecordInfo.model_fields, *StoredSummary.model_fields):
        assert f"`{field}`" in text, field


def test_the_parts_of_a_record_are_described_in_the_row_of_their_field():
    text = (ROOT / "docs/results-format.md").read_text()
    section = text.partition("### `record.json`")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| (.*) \|$", section, re.MULTILINE)
    contents = {field: content for fields, content in rows for field in re.findall(r"\w+", fields)}
    parts = {field: _models(RecordInfo.model_fields[field].annotation) for field in contents}
    missing = [
        f"{field}.{name}"
        for field, models in parts.items()
        for model in models
        for name in model.model_fields
        if f"`{name}`" not in contents[field]
    ]
    assert any(parts.values()) and missing == []


def _models(annotation) -> list[type[BaseModel]]:
    """Models of the parts in a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models(argument)]


def test_the_parameters_in_mlflow_are_described():
    names = ("dataset", "digest", "modalities", "name", "source", "version")
    parts = dict.fromkeys(("method", "protocol", "store"), dict.fromkeys(names, ""))
    run = TrackedRun(ROOT, {**parts, **dict.fromkeys(("preset", "seed", "selection", "precision")), "recipe": {}})
    section = (ROOT / "docs/results-format.md").read_text().partition("## MLflow")[2]
    assert [name for name in run.params() if f"`{name}`" not in section] == []


def test_every_function_of_the_api_and_its_results_are_described():
    described = set(re.findall(r"^::: (\S+)$", (ROOT / "docs/api.md").read_text(), re.MULTILINE))
    views = {view for view in _subclasses(DataFrameView) if view.__module__.startswith("aubench.")}
    members = {getattr(api, name) for name in api.__all__} | views
    assert len(views) > 6
    paths = {member: (member.__module__, f"{member.__module__}.{member.__qualname__}") for member in members}
    assert [path for module, path in paths.values() if not described & {module, path}] == []


def _subclasses(base: type) -> set[type]:
    return {each for child in base.__subclasses__() for each in (child, *_subclasses(child))}


def test_everything_an_author_may_write_is_described():
    from aubench import Method, Recipe

    text = (ROOT / "docs/add-a-method.md").read_text()
    assert [field for field in Recipe.model_fields if f"`{field}`" not in text] == []
    hooks = [hook for hook, value in vars(Method).items() if callable(value) and not hook.startswith("_")]
    assert [hook for hook in hooks if not re.search(rf"`{hook}[(`]", text)] == []


def test_every_method_and_command_is_in_the_documentation():
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert [m for m in registry.builtin_methods() if f"`{m}`" not in changes] == []
    page = (ROOT / "docs/commands.md").read_text()
    assert [c for c in leaves(root_command(), "aubench") if f"`{c}`" not in page] == []


def test_every_option_is_in_the_documentation():
    text = "\n".join(page.read_text() for page in PAGES if page.name != "CHANGELOG.md")
    named = set(re.findall(r"--[a-z][a-z-]*", text))
    commands = leaves(root_command(), "aubench").values()
    options = {(*each.opts, *each.secondary_opts) for command in commands for each in command.params}
    flags = [names for names in options if names[0].startswith("--")]
    assert len(flags) > 60
    assert [names for names in flags if named.isdisjoint(names)] == []


def leaves(command, path: str) -> dict:
    """Return the commands without sub-commands by their words."""
    inner = subcommands(command)
    return {words: leaf for word in inner for words, leaf in leaves(inner[word], f"{path} {word}").items()} or {
        path: command
    }


PLACEHOLDERS = (
    r"'[^']*'|…|[();]|: |\b(?:synth_3fold|bp4d|cuda|depth|resnet18|fold|tables|protocol\.digest|record\.json|\d+)\b"
)


@pytest.mark.slow
def test_the_messages_in_troubleshooting_exist():
    sources = [path.read_text() for top in ("aubench", "methods") for path in (ROOT / top).rglob("*.py")]
    strings = (node.value for text in sources for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant))
    literals = "\n".join(value for value in strings if isinstance(value, str))
    rows = re.findall(r"^\| (`.*?`) \| ", (ROOT / "docs/troubleshooting.md").read_text(), re.MULTILINE)
    messages = [message for row in rows for message in re.findall(r"`([^`]+)`", row)]
    assert len(messages) > 60
    parts = {message: [part.strip(" ,.") for part in re.split(PLACEHOLDERS, message)] for message in messages}
    assert [message for message, words in parts.items() if [word for word in words if word not in literals]] == []


def test_modules_of_the_architecture_exist() -> None:
    rows = re.findall(
        r"^\| `((?:aubench|methods)[\w/]*)/` \|(.*)", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE
    )
    assert len(rows) > 15
    unknown = {
        f"{package}: {module}"
        for package, text in rows
        for module in re.findall(r"`([a-z_0-9]+)`", text)
        if module not in {path.stem for path in (ROOT / package).rglob("*")}
    }
    assert unknown == {"aubench/rendering: synth"}, "the data set that it renders is no module of it"
