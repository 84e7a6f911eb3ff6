"""Short runs on visual, depth and thermal images of the methods whose papers publish two modalities or one."""

import pytest

from aubench import Modality
from aubench.runs import fold as fold_module
from aubench.runs.events import FoldFinished

SHORT = {"frames_per_epoch": 64, "epochs": 2}
PRETRAINING = {"pretrain_epochs": 1, "pretrain_frames_per_epoch": 64}
VIDEO = {**PRETRAINING, "pretrain_warmup_epochs": 0, "width": 16, "depth": 1, "decoder_width": 16}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "changes", "used"),
    [
        ("cam", {}, tuple(Modality)),
        ("mft", {}, tuple(Modality)),
        ("mcm", PRETRAINING, tuple(Modality)),
        ("au_vmae", VIDEO | {"input": "early"}, tuple(Modality)),
        ("au_vmae", VIDEO, (Modality.VISUAL,)),  # as its paper
    ],
)
def test_a_short_run_on_three_modalities_ends_in_predictions(decide, tmp_path, method, changes, used):
    config = decide(tmp_path, method=method, protocol="synth_vdt_3fold", **SHORT, **changes)
    events = []
    fold_module.run_fold(config, 1, "cpu", 0, events.append)
    assert config.task.modalities == used and isinstance(events[-1], FoldFinished)
    assert (config.fold_dir(1) / "counts.csv").exists()
