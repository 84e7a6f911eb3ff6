"""Commands that cannot do what their words say end in one line, before anything is written."""

from __future__ import annotations

import pytest

import aubench as package

NO_CARD = """
import aubench


class Own(aubench.Method):
    def forward(self, inputs):
        return inputs
"""


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("run", "--seed", "5", "--seed", "0"), "--seed: is given twice; give it once"),
        (("run", "--method", "amf", "--method", "cam"), "--method: is given twice; give it once"),
        (("leaderboard", "show", "--root", "a", "--root", "b"), "--root: is given twice; give it once"),
        (("--plugin", "nothing.py", "protocols"), "nothing.py: defines no data set, metric or corruption; create one"),
        (("test-method", "no_card.py"), "no_card.py: Own has no card; set card = MethodCard(…) in the class"),
        (("test-method", "no_recipe.py"), "no_recipe.py: Own.Recipe is no subclass of aubench.Recipe"),
        (("test-method", "no_forward.py"), "no_forward.py: Own lacks forward; see docs/add-a-method.md"),
        (("compare", "amf@synth_3fold", "cam@synth_3fold"), "leaderboard: no leaderboard here; give its folder"),
        (
            ("run", "--method", "amf", "--protocol", "synth_3fold", "--device", "tpu", "--store", "new"),
            "--device: no device 'tpu'; did you mean 'cpu'?",
        ),
    ],
)
def test_wrong_words_end_in_one_line(call, tmp_path, words, line):
    card = 'card = aubench.MethodCard("Own", "none", aubench.Fidelity.EXACT)'
    files = {
        "nothing.py": "number = 1\n",
        "no_card.py": NO_CARD,
        "no_recipe.py": NO_CARD.replace("    def", f"    {card}\n    Recipe = 'small'\n\n    def"),
        "no_forward.py": NO_CARD.replace("def forward", "def backward"),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    before = sorted(tmp_path.iterdir())
    answer = call(*words)
    assert (answer.code, answer.out) == (2, "") and answer.err.startswith(f"aubench: {line}")
    assert answer.err.count("\n") == 1 and sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("words", [(), ("data",), ("leaderboard",)])
def test_a_group_without_a_command_prints_its_help(call, words):
    answer = call(*words)
    assert answer.code == 2 and answer.out == ""
    assert answer.err.startswith(" ".join(("Usage: aubench", *words))) and "\nCommands:\n" in answer.err


def test_options_that_may_be_repeated_are(call):
    answer = call("run", "--set", "epochs=1", "--set", "crop=28", "--no-track", "--no-track")
    assert answer.err == "aubench: --method: is missing; give --method and --protocol, or --from-study\n"


@pytest.mark.parametrize("method", [package.Method, [package.Method]])
def test_a_class_is_no_name_of_a_method(method):
    with pytest.raises(package.AubenchError, match="is no name; give names, and for a method of your own the path"):
        package.run(method, "synth_3fold")


def test_the_public_names_are_listed():
    assert {"run", "load_results", "Method"} <= set(dir(package))
