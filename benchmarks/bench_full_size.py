"""One training step of every method's ``paper`` recipe at full size, with its checkpoint.

    python benchmarks/bench_full_size.py [METHOD ...]

prints a row for each method: parameters, cost per frame, memory. Initial weights are random, since no figure depends on
them. Each method runs in its own process, so that its peak memory can be read.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

FRAMES = 2
"""Frames, or clips, of a step."""
CLIP = 16
"""Frames of a clip."""


def measure_method(name: str) -> dict[str, Any]:
    """Measure one method in this process."""
    import torch

    from aubench.core.registry import find_method
    from aubench.evaluation import flops
    from aubench.papers.method_reference import used_tasks

    entry = find_method(name)
    recipe = entry.method_class.Recipe.from_preset("paper", {"weights": "none"})
    task = next(task for task in used_tasks(entry, recipe) if len(task.modalities) < 3)
    parameters = flops.count_parameters(entry.method_class, task, recipe)
    if recipe.clip_length:
        recipe = entry.method_class.Recipe.from_preset("paper", {"weights": "none", "clip_frames": CLIP})
    torch.manual_seed(0)
    method = entry.method_class(task, recipe).train()
    seconds = {stage.name: _step(method, stage) for stage in method.stages()}
    return {
        "modalities": "+".join(modality.letter for modality in task.modalities),
        "parameters": parameters,
        "gflops": flops.count_flops(entry.method_class, task, recipe).total.flops / 1e9,
        "seconds": seconds,
        "checkpoint": _checkpoint_size(method, entry.method_class(task, recipe)),
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _step(method: Any, stage: Any) -> float:
    import torch

    from aubench import Batch, Progress

    size, aus, length = method.task.image_size, len(method.task.aus), method.recipe.clip_length
    lead = (FRAMES,) if length is None else (FRAMES, length)
    inputs = {m: torch.rand(*lead, m.channels, size, size) * 2 - 1 for m in method.task.modalities}
    labels = torch.randint(0, 2, (*lead, aus))
    if not stage.pretraining:
        method.on_train_labels(list(labels) if length else [labels])
    batch = method.augment(Batch(inputs, labels), torch.Generator().manual_seed(0))
    optimizer, begin = method.optimizer(stage), time.perf_counter()
    total = method.loss(batch, stage, Progress(0, stage.epochs, 0, 1))["total"]
    total.backward()
    optimizer.step()
    assert torch.isfinite(total), f"{stage.name}: {total}"
    return time.perf_counter() - begin


def _checkpoint_size(method: Any, other: Any) -> float:
    """Write a checkpoint and read it into another instance; returns its size in MiB."""
    import torch

    from aubench.training import checkpoint

    identity = checkpoint.CheckpointIdentity("full-size", "any", "none", 1, 0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.safetensors"
        checkpoint.write(path, identity, method.state_dict(), {})
        other.load_state_dict(checkpoint.read(path, identity).tensors)
        assert all(map(torch.equal, method.state_dict().values(), other.state_dict().values()))
        return path.stat().st_size / 2**20


def main(names: list[str]) -> None:
    """Measure each method in its own process."""
    print("| method | modalities | parameters | GFLOPs a frame | checkpoint | peak memory | a step of each stage |")
    print("|---|---|---|---|---|---|---|")
    for name in names:
        call = [sys.executable, __file__, "--in-process", name]
        result = json.loads(subprocess.run(call, stdout=subprocess.PIPE, check=True, encoding="utf-8").stdout)
        steps = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in result["seconds"].items())
        print(
            f"| `{name}` | {result['modalities']} | {result['parameters'] / 1e6:.1f} M | {result['gflops']:.2f} "
            f"| {result['checkpoint']:.0f} MiB | {result['memory']:.0f} MiB | {steps} |",
            flush=True,
        )


def test_full_size() -> None:
    result = measure_method("resnet_visual")
    assert result["parameters"] > 11e6 and set(result["seconds"]) == {"train"}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--in-process"]:
        print(json.dumps(measure_method(sys.argv[2])))
    else:
        from aubench.core.registry import builtin_methods

        main(sys.argv[1:] or builtin_methods())
