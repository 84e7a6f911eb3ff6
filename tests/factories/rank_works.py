"""Work of processes that train one fold together."""

import os
import signal

import torch
from torch import nn

from aubench._util import interrupts, ranks
from aubench._util.seeds import seed_everything
from aubench.core.errors import Diverged, MethodError, UsageError
from aubench.core.method import Method, Progress
from aubench.core.recipe import Recipe
from aubench.core.task import Batch
from aubench.runs.devices import DeviceChoice
from aubench.runs.events import FoldFinished
from aubench.training.split_modules import SplitModules, average_gradients


class Comparing(Method):
    """Loss on statistics of a batch, two modules of which one pools pairs of rows, and all kinds of random draws."""

    def __init__(self, task, recipe):
        super().__init__(task, recipe)
        width = task.channels * recipe.crop**2
        self.embed = nn.ModuleDict({"a": nn.Sequential(nn.Flatten(), nn.Linear(width, 6), nn.Dropout(0.3))})
        self.scale = nn.Parameter(torch.ones(6))
        self.head = nn.Linear(6, len(task.aus))

    def forward(self, inputs):
        features = self.embed["a"](torch.cat(list(inputs.values()), 1)) * self.scale
        centred = features - features.mean(0) + torch.rand(len(features), 1, dtype=features.dtype)
        return self.head(centred.flip(0)).sigmoid()

    def loss(self, batch, stage, progress):
        probs = self(batch.inputs)
        known = (batch.labels >= 0).to(probs.dtype)
        return {"total": (probs * known).sum() / known.sum() + probs.std() + probs.T.matmul(probs).square().mean()}


class Mixing(Method):
    """A module whose rows depend on other rows."""

    def __init__(self, task, recipe):
        super().__init__(task, recipe)
        self.layer = _Centring(task.channels * recipe.crop**2, len(task.aus))

    def forward(self, inputs):
        return self.layer(torch.cat(list(inputs.values()), 1)).sigmoid()


class _Centring(nn.Linear):
    def forward(self, images):
        flat = images.flatten(1)
        return super().forward(flat - flat.mean(0))


class Counting(Method):
    """A module that counts its calls in a buffer."""

    def __init__(self, task, recipe):
        super().__init__(task, recipe)
        self.layer = _Counter(task.channels * recipe.crop**2, len(task.aus))

    def forward(self, inputs):
        return self.layer(torch.cat(list(inputs.values()), 1)).sigmoid()


class _Counter(nn.Linear):
    def __init__(self, *size):
        super().__init__(*size)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images):
        self.calls += 1
        return super().forward(images.flatten(1))


OTHERS = {"comparing": Comparing, "mixing": Mixing, "counting": Counting}


def gradients(config, name, count, dtype=torch.float64):
    """Return the gradients of each stage for the same batch, by the processes of the group."""
    if name in OTHERS:
        torch.manual_seed(3)
        method = OTHERS[name](config.task, Recipe.from_preset("tiny", {"crop": 16, "image_size": 16}))
    else:
        method = config.build_initial_method(1)
    method = method.to(dtype).train()
    recipe = method.recipe
    lead = (count,) if recipe.clip_length is None else (count, recipe.clip_length)
    generator = torch.Generator().manual_seed(1)
    results = {}
    for stage in method.stages():
        inputs = {
            m: torch.rand(*lead, m.channels, recipe.crop, recipe.crop, generator=generator, dtype=dtype) * 2 - 1
            for m in method.task.modalities
        }
        labels = torch.randint(-1, 2, (*lead, len(method.task.aus)), generator=generator)
        split = SplitModules(method) if ranks.count() > 1 else None
        for step in range(2):
            seed_everything(step)
            method.zero_grad(set_to_none=True)
            if split:
                with split.active():
                    terms = method.loss(Batch(inputs, labels), stage, Progress(0, 2, step, 2))
                terms["total"].backward()
                average_gradients(method.parameters())
            else:
                terms = method.loss(Batch(inputs, labels), stage, Progress(0, 2, step, 2))
                terms["total"].backward()
            found = {key: p.grad for key, p in method.named_parameters() if p.grad is not None}
            buffers = {key: value.clone() for key, value in method.named_buffers()}
            results[stage.name, step] = found | buffers | {"loss": terms["total"].detach()}
    return results


def compute_gradients(config, fold, kind, index, report, cases):
    """Save the gradients of each case (configuration, method and samples), or the error that refuses it."""
    torch.set_num_threads(1)
    results = {}
    for name, case in cases.items():
        try:
            results[name] = gradients(*case)
        except MethodError as error:
            results[name] = str(error)
    folder = config.fold_dir(fold)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(results, folder / f"gradients-{ranks.rank()}.pt")
    ranks.meet()
    report(FoldFinished(None, 0))


def loses_a_process(config, fold, kind, index, report):
    if ranks.rank():
        os.kill(os.getpid(), signal.SIGKILL)
    ranks.meet()


class WithoutSecondNode(DeviceChoice):
    """Devices that the second node of a job lacks."""

    def __getattribute__(self, name):
        if name == "kind" and os.environ.get("SLURM_PROCID") == "1":
            raise UsageError("this machine has no GPU", where="--device")
        return super().__getattribute__(name)


def diverges_on_one_device(config, fold, kind, index, report):
    if ranks.rank():
        raise Diverged("loss term 'total' is not finite", where=config.entry.name)
    ranks.meet()


def reports_its_devices(config, fold, kind, index, report):
    ranks.meet()
    report(FoldFinished(None, ranks.count()))


def saves_when_it_ends(config, fold, kind, index, report):
    folder = config.fold_dir(fold)
    with interrupts.deferred():
        while True:
            ranks.meet()
            if ranks.is_first():
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "started").touch()
            if interrupts.is_requested():
                ranks.meet()
                (folder / "saved").touch()
                interrupts.end_if_requested()
