"""Optuna's own plots of a study: each as PNG, and all on one HTML page that can be explored."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench._util import atomic
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
"""Names of files, and what draws them."""
PAGE = "figures.html"


def plot(study: Study, folder: Path, say: Callable[[str], None]) -> list[Path]:
    """Draw a study.

    Args:
        study: The study.
        folder: Where to put the figures.
        say: Told what could not be drawn, and why.

    Returns:
        The files.
    """
    import matplotlib

    matplotlib.use("Agg")
    from optuna import visualization
    from optuna.visualization import matplotlib as still

    if sum(trial.state.name == "COMPLETE" for trial in finished_trials(study)) < 2:
        say(f"{study.study_name}: too few finished trials for figures")
        return []
    made: list[Path] = []
    parts: list[str] = []
    for name, function in PLOTS.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that these plots may change some day
                drawn = getattr(still, function)(study)
            made.append(_png(_spread(drawn), folder / f"{name}.png"))
            page = getattr(visualization, function)(study)
            parts.append(page.to_html(full_html=False, include_plotlyjs=not parts))
        except (ValueError, RuntimeError) as error:  # e.g. importances where all trials are equally good
            say(f"{study.study_name}: no figure of {name} ({error})")
    head = f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{study.study_name}</title>\n'
    atomic.write_text(folder / PAGE, head + "\n".join(parts) + "\n</html>\n")
    return [*made, folder / PAGE]


def _spread(drawn: Any) -> Figure:
    """The figure of what a plot returned (axes, or an array of them), with room for the words of every axis."""
    import numpy as np

    figure: Figure = np.ravel(np.asarray(drawn, dtype=object))[0].figure
    if len(figure.axes) > 2:
        figure.set_size_inches(max(2 * len(figure.axes), 8), 5)
        for axes in figure.axes:
            axes.tick_params(which="both", labelsize=8)
            axes.tick_params(axis="x", which="both", labelrotation=45)
            axes.xaxis.label.set_fontsize(10)
    return figure


def _png(figure: Figure, path: Path) -> Path:
    import matplotlib.pyplot as plt

    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    atomic.write_bytes(path, content.getvalue())
    return path
