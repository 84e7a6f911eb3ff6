"""Figure of learning curves: a line and a name per method."""

import pytest
from matplotlib.figure import Figure

from aubench.core.errors import UsageError
from aubench.core.registry import find_protocol
from aubench.core.task import Modality
from aubench.leaderboard.build import load_protocol
from aubench.leaderboard.learning_curves import learning_curves
from aubench.plots import learning_curve_plot


@pytest.fixture
def curved_board(tmp_path, make_record):
    for record in (
        *(make_record("amf", seed=seed, pretraining_epochs=0, is_stored=True) for seed in (0, 1)),
        make_record("mcm", skill=0.9, pretraining_epochs=8, is_stored=True),
        make_record("cam", preset="tiny", is_stored=True),
    ):
        record.write(tmp_path / "records" / record.relative_path)
    return tmp_path


@pytest.mark.slow
def test_a_line_is_the_mean_over_folds_and_seeds(curved_board, make_record):
    table = load_protocol(curved_board, "synth_3fold").tables[0]
    axes = Figure().add_subplot()
    rows = [(entry, learning_curves(entry)) for entry in table.methods]
    learning_curve_plot.draw_curves(axes, table, rows)
    lines = {line.get_label(): line for line in axes.get_lines()}
    records = [make_record("amf", seed=seed, pretraining_epochs=0, is_stored=True) for seed in (0, 1)]
    means = 100 * sum(record.epochs.groupby("epoch")["f1"].mean() for record in records) / 2
    assert lines["amf"].get_ydata() == pytest.approx(means.to_numpy())
    assert lines["amf"].get_xdata().tolist() == list(range(4, 129, 4))
    names = [text.get_text() for text in axes.texts]
    assert any(name.endswith("  amf") for name in names)
    assert any(name.endswith("  mcm (pre-trained on 24k)") for name in names)
    heights = sorted(text.get_position()[1] for text in axes.texts)
    assert heights[1] - heights[0] > 0.03 * (axes.get_ylim()[1] - axes.get_ylim()[0])


def test_rows_that_differ_in_modalities_have_different_names(tmp_path, make_record):
    narrow = find_protocol("synth_3fold").narrowed([Modality.VISUAL])
    for protocol in (None, narrow):
        record = make_record("late_fusion", pretraining_epochs=0, protocol=protocol)
        record.write(tmp_path / "records" / record.relative_path)
    (table,) = load_protocol(tmp_path, "synth_3fold").tables
    axes = Figure().add_subplot()
    learning_curve_plot.draw_curves(axes, table, [(entry, learning_curves(entry)) for entry in table.methods])
    names = {label for line in axes.get_lines() if not (label := line.get_label()).startswith("_")}
    assert names == {"late_fusion (small) V", "late_fusion (small) V+D"}


@pytest.mark.slow
def test_it_is_drawn_by_the_command_and_equal_records_give_equal_bytes(call, curved_board):
    for out in ("a.png", "b.png"):
        drawn = call("leaderboard", "draw", "synth_3fold", "--kind", "curves", "--root", curved_board, "--out", out)
        assert (drawn.code, drawn.out) == (0, f"wrote {out}\n"), drawn.err
    assert (curved_board / "a.png").read_bytes() == (curved_board / "b.png").read_bytes()


def test_another_kind_is_one_line(call, curved_board):
    drawn = call("leaderboard", "draw", "synth_3fold", "--kind", "curve", "--root", curved_board, "--out", "a.png")
    assert (drawn.code, drawn.err.count("\n")) == (2, 1) and "did you mean 'curves'" in drawn.err


def test_records_without_curves_are_refused(small_board, tmp_path):
    with pytest.raises(UsageError, match="no complete run of protocol 'synth_3fold' has learning curves"):
        learning_curve_plot.plot(small_board, "synth_3fold", tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
