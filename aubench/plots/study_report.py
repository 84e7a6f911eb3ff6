"""Optuna's plots of a study, each as PNG and all on one interactive HTML page."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench._util import atomic
from aubench.plots import style
from aubench.tuning.worker import finished_trials

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna import Study

PLOTS = {
    "history": "plot_optimization_history",
    "importances": "plot_param_importances",
    "slices": "plot_slice",
    "parallel_coordinates": "plot_parallel_coordinate",
}
"""Optuna's plotting functions by the name of the file."""
PAGE = "figures.html"


def plot(study: Study, folder: Path, report: Callable[[str], None]) -> list[Path]:
    """Plot a study to a folder and return the paths; report each figure that cannot be drawn."""
    import matplotlib.pyplot as plt
    from optuna import visualization
    from optuna.visualization import matplotlib as static

    if sum(trial.state.name == "COMPLETE" for trial in finished_trials(study)) < 2:
        report(f"{study.study_name}: too few finished trials for figures")
        return []
    paths: list[Path] = []
    sections: list[str] = []
    for name, function in PLOTS.items():
        try:
            with warnings.catch_warnings(), _without_display():
                warnings.simplefilter("ignore")  # the plots are marked as experimental
                figure = _figure(getattr(static, function)(study))
                page = getattr(visualization, function)(study)
            paths.append(style.save(figure, folder / f"{name}.png", bbox_inches="tight"))
            plt.close(figure)
            sections.append(page.to_html(full_html=False, include_plotlyjs=not sections))
        except (ValueError, RuntimeError) as error:  # e.g. importances of trials with equal values
            report(f"{study.study_name}: no figure of {name} ({error})")
    head = f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{study.study_name}</title>\n'
    atomic.write_text(folder / PAGE, head + "\n".join(sections) + "\n</html>\n")
    return [*paths, folder / PAGE]


@contextmanager
def _without_display() -> Iterator[None]:
    """Create figures of pyplot without a display during the block."""
    import matplotlib.pyplot as plt

    backend = plt.get_backend()
    plt.switch_backend("agg")
    try:
        yield
    finally:
        plt.switch_backend(backend)


def _figure(axes: Any) -> Figure:
    """Return the figure of ``axes`` (one or an array), widened to fit the labels of all axes."""
    import numpy as np

    figure: Figure = np.ravel(np.asarray(axes, dtype=object))[0].figure
    if len(figure.axes) > 2:
        figure.set_size_inches(max(2 * len(figure.axes), 8), 5)
        for each in figure.axes:
            each.tick_params(which="both", labelsize=8)
            each.tick_params(axis="x", which="both", labelrotation=45)
            each.xaxis.label.set_fontsize(10)
    return figure
