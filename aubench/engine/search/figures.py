"""Optuna's own plots of a study, as PNG and, where plotly is installed, as HTML."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench import atomic
from aubench.engine.search.worker import finished

if TYPE_CHECKING:
    from optuna import Study

PLOTS = {
    "history": "plot_optimization_history",
    "importances": "plot_param_importances",
    "slices": "plot_slice",
    "parallel_coordinates": "plot_parallel_coordinate",
}
"""Names of files, and what draws them."""


def draw(study: Study, folder: Path, say: Callable[[str], None]) -> list[Path]:
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

    if sum(trial.state.name == "COMPLETE" for trial in finished(study)) < 2:
        say(f"{study.study_name}: too few finished trials for figures")
        return []
    interactive = visualization.is_available()
    if not interactive:
        say("plotly is not installed: figures as PNG alone")
    made = []
    for name, function in PLOTS.items():
        try:
            made.append(_png(getattr(still, function)(study), folder / f"{name}.png"))
            if interactive:
                page = getattr(visualization, function)(study).to_html(include_plotlyjs=True)
                atomic.write_text(folder / f"{name}.html", page)
                made.append(folder / f"{name}.html")
        except (ValueError, RuntimeError) as error:  # e.g. importances where all trials are equally good
            say(f"{study.study_name}: no figure of {name} ({error})")
    return made


def _png(axes: Any, path: Path) -> Path:
    """Save what a plot returned: axes, or an array of them."""
    import matplotlib.pyplot as plt
    import numpy as np

    figure = np.ravel(np.asarray(axes, dtype=object))[0].figure
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    atomic.write_bytes(path, content.getvalue())
    return path
