"""Folds in a Slurm queue: arrays, time limits, failures, and commands that end before their jobs."""

from __future__ import annotations

import atexit
import json
import os
import pickle
import shutil
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from engines.conftest import read_tables
from factories import fold_works, rank_works

from aubench._util.ranks import Group
from aubench.core.conditions import Condition
from aubench.core.errors import Diverged, UsageError
from aubench.engines import cluster_worker, slurm_commands, slurm_engine
from aubench.engines.choice import choose_engine
from aubench.engines.slurm_engine import SlurmChoice
from aubench.engines.slurm_options import parse_minutes, parse_options, submission_parameters
from aubench.engines.slurm_task import STORE_SECONDS, FoldTask
from aubench.runs import fold_status, run_file, runner, sweeps
from aubench.runs.condition_evaluation import evaluate_fold
from aubench.runs.devices import DeviceChoice
from aubench.runs.engine import Job
from aubench.runs.events import FoldFinished
from aubench.runs.fold import run_fold
from aubench.runs.fold_process import FoldFailed, UnexpectedFailure
from aubench.runs.run_status import read_states
from aubench.runs.scheduler import FoldScheduler, run_jobs

submitit = pytest.importorskip("submitit")
TESTS = Path(__file__).parents[1]
SMALL_TRANSFORMER = {
    **{"image_size": 28, "crop": 28, "width": 16, "depth": 1, "decoder_width": 16, "decoder_depth": 1},
    **{
        "pretrain_epochs": 0,
        "warmup_epochs": 0,
        "epochs": 1,
        "frames_per_epoch": 30,
        "batch_size": 15,
        "validation_stride": 8,
    },
}


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Put the fake commands on the path; returns the folder of their state."""
    state, commands = tmp_path / "slurm", tmp_path / "bin"
    for folder in (commands, *(state / name for name in ("queue", "requeue", "accounting"))):
        folder.mkdir(parents=True)
    for name in ("sbatch", "srun", "squeue", "sacct", "scontrol", "scancel"):
        path = commands / name
        path.write_text(f'#!/bin/sh\nexec {sys.executable} {TESTS}/engines/fake_slurm.py {name} "$@"\n')
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(state))
    monkeypatch.setenv("PYTHONPATH", str(TESTS))  # of the works in `factories`
    monkeypatch.setattr(slurm_engine, "QUEUE_SECONDS", 0.0)
    return state


@pytest.fixture
def choice(slurm):
    return choose_engine("slurm", "cpu", slurm="partition=gpu,time=4h")


def collect(jobs, choice):
    events = []
    run_jobs(jobs, choice, lambda job, event: events.append((job.config.seed, job.fold, event)))
    return events


@pytest.mark.slow
@pytest.mark.nightly
def test_arrays_are_requeued_at_their_limit_and_fail_one_by_one(slurm, choice, plan, reference, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_SLURM_ARRAY", "2")
    first, other = plan(tmp_path / "runs")
    run_file.write(first, {"started": "2026-01-01T00:00:00Z", "device": {"kind": "cpu", "name": "slurm"}})
    works = [
        (first, 1, fold_works.trains_in_two_allocations),
        (other, 1, fold_works.diverges),
        (first, 2, fold_works.ends),
    ]
    events = []
    with pytest.raises(Diverged):
        run_jobs(
            [Job(*work) for work in works],
            choice,
            lambda job, event: events.append((job.config.seed, job.fold, type(event).__name__)),
        )
    ends = sorted(event for event in events if event[2] != "EpochFinished")
    assert ends == [(0, 1, "FoldFinished"), (0, 2, "FoldFinished"), (1, 1, "RunFailed")]
    assert (first.fold_dir(1) / "attempts").read_text() == "xx"
    assert (slurm / "starts").read_text().split() in (["1_0", "1_0", "1_1", "2"], ["1_0", "2", "1_0", "1_1"])
    assert read_tables(first) == reference(folds=(1,), seeds=(0,))[first.run_id], "the node wrote the record"
    script = (slurm / "1.sh").read_text()
    assert all(f"#SBATCH --{line}\n" in script for line in ("array=0-1%2", "partition=gpu", "time=240", "requeue"))
    assert "gpus" not in script
    folder = tmp_path / "runs" / "sweeps"
    assert [path.name for path in folder.iterdir()] == ["slurm"], "no command works on the folder"
    assert not list((folder / "slurm").glob("*.pkl"))
    assert "is not finite" in (other.fold_dir(1) / "failed.json").read_text()


@pytest.mark.slow
def test_jobs_outlive_an_interrupted_command_and_are_not_submitted_again(slurm, choice, plan, tmp_path):
    runs = tmp_path / "runs"
    (config,) = plan(runs, seeds=(0,))
    run_file.write(config, {})
    jobs = [Job(config, fold, fold_works.waits_for_a_file) for fold in (1, 2)]

    class Interrupted(type(choice.engine())):
        def wait(self, seconds):
            yield from super().wait(0.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FoldScheduler(jobs, Interrupted(choice), lambda *_: None).run()
    assert not (slurm / "cancelled").exists()
    (sweep,) = sweeps.read_sweeps(runs)
    assert not sweep.is_alive and set(sweep.queued.values()) == {"1_0", "1_1"}
    assert [state.state for state in read_states(runs, pytest.fail)] == ["waiting", "waiting", "not started"]
    config.fold_dir(1).mkdir(exist_ok=True)
    (config.fold_dir(1) / "go").touch()
    assert sorted(fold for _, fold, _ in collect(jobs, choice)) == [1, 2]
    assert len(list(slurm.glob("*.sh"))) == 1 and not sweeps.read_sweeps(runs)


@pytest.mark.slow
def test_a_job_that_the_system_ends_is_one_line(slurm, choice, plan, tmp_path):
    (config,) = plan(tmp_path / "runs", seeds=(0,))
    with pytest.raises(
        FoldFailed, match=r"left the queue without a result \(job 1: OUT_OF_MEMORY\); see .*1_0_log.err"
    ):
        collect([Job(config, 1, fold_works.is_killed)], choice)


@pytest.mark.slow
@pytest.mark.nightly
def test_two_nodes_give_the_counts_of_one_device(slurm, decide, tmp_path):
    one, two = (decide(tmp_path / name, "mcm", **SMALL_TRANSFORMER) for name in ("one", "two"))
    run_fold(one, 1, "cpu", 0, lambda event: None)
    events = []
    choice = choose_engine("slurm", "cpu", nodes=2, slurm="partition=gpu")
    runner.run_folds([two], [1], choice, lambda job, event: events.append(type(event)))
    assert events[-1] is FoldFinished and len(events) <= 4, "one of the nodes reports"
    for name in ("counts.csv", "histograms.csv"):
        assert (two.fold_dir(1) / name).read_bytes() == (one.fold_dir(1) / name).read_bytes()
    assert json.loads((two.fold_dir(1) / "result.json").read_text())["made"]["device"]["count"] == 2
    assert not list((two.runs / sweeps.FOLDER / sweeps.SLURM_JOBS).glob("*.ranks"))
    assert not list((two.runs / sweeps.FOLDER / sweeps.SLURM_JOBS).glob("*.pkl"))


@pytest.mark.slow
@pytest.mark.nightly
def test_a_node_that_fails_ends_the_fold_in_one_line(slurm, plan, tmp_path):
    (config,) = plan(tmp_path / "runs", seeds=(0,))
    choice = choose_engine("slurm", "cpu", nodes=2)
    with pytest.raises(FoldFailed) as raised:
        collect([Job(config, 1, rank_works.loses_a_process)], choice)
    assert str(raised.value).startswith("fold 1 of resnet_depth was ended by signal 9"), "the cause on the second node"


@pytest.mark.slow
@pytest.mark.nightly
def test_a_node_that_fails_before_it_joins_ends_those_that_wait_for_it(slurm, plan, tmp_path, monkeypatch):
    monkeypatch.setattr(SlurmChoice, "on_node", lambda choice: rank_works.WithoutSecondNode("cpu", 1, "slurm"))
    (config,) = plan(tmp_path / "runs", seeds=(0,))
    with pytest.raises(UsageError, match="--device: this machine has no GPU"):
        collect([Job(config, 1, rank_works.reports_its_devices)], choose_engine("slurm", "cpu", nodes=2))


BROKEN = UnexpectedFailure("fold 1 of amf broke (RuntimeError: connection closed)")
KILLED = FoldFailed("fold 1 of amf was ended by signal 9")
OTHER_STORE = UsageError("differs from the store of the command", where="/local/stores/bp4d")


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ({0: BROKEN, 1: OTHER_STORE}, OTHER_STORE),
        ({0: BROKEN, 1: BROKEN, 2: KILLED}, KILLED),
        ({0: KILLED, 1: BROKEN, 2: OTHER_STORE}, KILLED),
        ({0: BROKEN}, BROKEN),
        ({0: FoldFinished(None, 0), 1: BROKEN}, FoldFinished(None, 0)),
        ({0: None, 1: None}, None),
        ({2: OTHER_STORE}, OTHER_STORE),
    ],
)
@pytest.mark.usefixtures("slurm")
def test_the_error_of_a_fold_is_that_of_the_node_that_caused_it(plan, tmp_path, outcomes, expected):
    (config,) = plan(tmp_path / "runs", seeds=(0,))
    engine = choose_engine("slurm", "cpu", nodes=3).engine()
    future = engine.submit(Job(config, 1, fold_works.ends))
    for node, outcome in outcomes.items():
        (engine._folder / f"7_{node}_result.pkl").write_bytes(pickle.dumps(("success", outcome)))
    outcome = engine._outcome(future, "7")
    assert (type(outcome), str(outcome)) == (type(expected), str(expected))
    assert not list(engine._folder.iterdir())


@pytest.mark.parametrize(("first", "outcome", "code"), [(0, BROKEN, 1), (2, BROKEN, 1), (2, FoldFinished(None, 0), 0)])
def test_a_node_that_fails_ends_with_an_error_once_its_outcome_is_stored(monkeypatch, tmp_path, first, outcome, code):
    waited, at_exit = [], []
    monkeypatch.setattr(time, "sleep", waited.append)
    monkeypatch.setattr(atexit, "register", lambda *call: at_exit.append(call))
    monkeypatch.setattr(cluster_worker, "work", lambda *_: outcome)
    monkeypatch.setattr(FoldTask, "_group", lambda task: Group(first, 4, tmp_path / "7-0.ranks"))
    assert FoldTask(None, DeviceChoice("cuda", 2, "slurm", 1, 2), "/", nodes=2)() is outcome
    assert waited == ([STORE_SECONDS] if first == 0 else []), "the others have stored their causes"
    assert at_exit == ([(os._exit, code), (time.sleep, 2 * STORE_SECONDS)] if code else [])


@pytest.mark.slow
def test_each_node_knows_its_part_of_the_processes(plan, tmp_path, monkeypatch):
    (config,) = plan(tmp_path / "runs", seeds=(0,))
    groups = []
    monkeypatch.setattr(cluster_worker, "work", lambda job, choice, folder, group: groups.append(group))
    task = FoldTask(Job(config, 1, fold_works.ends), DeviceChoice("cuda", 4, "slurm", 1, 4), str(tmp_path), nodes=2)
    for node, restarts in ((0, "0"), (1, "0"), (1, "1")):
        environment = SimpleNamespace(job_id="7_3", global_rank=node)
        monkeypatch.setattr(submitit, "JobEnvironment", lambda environment=environment: environment)
        monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
        task()
    assert [(group.first, group.count, group.meeting.name) for group in groups] == [
        (0, 8, "7_3-0.ranks"),
        (4, 8, "7_3-0.ranks"),
        (4, 8, "7_3-1.ranks"),
    ]


@pytest.mark.slow
def test_the_task_runs_under_the_local_executor_and_names_no_state(plan, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    (config,) = plan(tmp_path / "runs", seeds=(0,))
    config.run_dir.mkdir(parents=True)
    task = FoldTask(Job(config, 1, fold_works.ends), DeviceChoice("cpu", 1, "slurm"), str(tmp_path))
    assert submitit.LocalExecutor(tmp_path / "jobs").submit(task).result() == FoldFinished(None, 0)
    assert task.checkpoint().function is task and not task.checkpoint().args


def test_cancel_removes_waiting_and_queued_jobs(slurm, choice, plan, tmp_path, monkeypatch):
    (config,) = plan(tmp_path / "runs", seeds=(0,))
    engine = choice.engine()
    futures = [engine.submit(Job(config, fold, fold_works.ends)) for fold in (1, 2, 3)]
    monkeypatch.setattr(engine, "_send", lambda: iter(()))
    engine._unsent.remove(futures[0])
    engine._ids[futures[0]] = "7_0"
    for future in futures[:2]:
        engine.cancel(future)
    assert [future for future, event in engine.wait(0.0) if event is None] == futures[:2]
    assert all(isinstance(future.exception(), FoldFailed) for future in futures[:2])
    engine._ids[futures[2]] = "7_2"
    engine.close(interrupted=False)
    assert (slurm / "cancelled").read_text().split() == ["7_0", "7_2"]


@pytest.fixture
def engine(choice, monkeypatch):
    """An engine whose jobs get ids, and run nowhere."""
    engine = choice.engine()

    def send(futures):
        engine._ids |= {future: f"7_{len(engine._ids) + i}" for i, future in enumerate(futures)}

    monkeypatch.setattr(engine, "_send_array", send)
    return engine


@pytest.mark.slow
@pytest.mark.parametrize("way", ["refused", "failed", "lost"])
def test_folds_of_one_run_may_fail_together(slurm, engine, plan, tmp_path, monkeypatch, way):
    first, other = plan(tmp_path / "runs")
    jobs = [Job(config, fold, fold_works.ends) for config in (first, other) for fold in (1, 2)]
    results, outcomes = tmp_path / "runs" / "sweeps" / "slurm", []
    if way == "refused":
        monkeypatch.setattr(engine, "_send_array", lambda futures: "invalid partition specified")
    if way == "lost":
        monkeypatch.setattr(slurm_commands, "active_jobs", lambda: {"7_2", "7_3"} if len(outcomes) < 2 else set())
    names = {"refused": [], "lost": ["7_2", "7_3"], "failed": ["7_0", "7_1", "7_2", "7_3"]}[way]

    def outcome(future, job_id):
        outcomes.append(job_id)
        (results / f"{job_id}_0_result.pkl").unlink(missing_ok=True)
        return FoldFinished(None, 0) if job_id > "7_1" else FoldFailed("broke")

    monkeypatch.setattr(engine, "_outcome", outcome)
    results.mkdir(parents=True)
    for name in names if way == "failed" else ():
        (results / f"{name}_0_result.pkl").touch()
    events = []

    def report(job, event):
        events.append((job.config.seed, job.fold, type(event).__name__))
        for name in names if way == "lost" else ():
            (results / f"{name}_0_result.pkl").touch()

    with pytest.raises(FoldFailed, match="sbatch refused the jobs" if way == "refused" else None):
        FoldScheduler(jobs, engine, report).run()
    ends = [event for event in events if event[2] == "FoldFinished"]
    assert sorted(ends) == ([] if way == "refused" else [(1, 1, "FoldFinished"), (1, 2, "FoldFinished")])
    assert not (slurm / "cancelled").exists() or "7_2" not in (slurm / "cancelled").read_text()


def test_jobs_of_an_ended_command_are_known_until_another_adopts_them(slurm, choice, plan, tmp_path, monkeypatch):
    runs = tmp_path / "runs"
    first, other = plan(runs)
    job, conditions = Job(first, 1, fold_works.ends), partial(fold_works.ends, conditions=("noise:all:0.1",))
    with sweeps.SweepFile("slurm", [job]) as sweep:
        sweep.update({sweeps.queue_key(job): "5_0"})
    monkeypatch.setattr(slurm_commands, "active_jobs", lambda: {"5_0"})

    def adopted(*jobs):
        engine = choice.engine()
        monkeypatch.setattr(engine, "_send", lambda: iter(()))
        for each in jobs:
            engine.submit(each)
        for _ in range(2):
            list(engine._poll(0.0))
        return list(engine._ids.values()), [sweep.queued for sweep in sweeps.read_sweeps(runs)]

    known = [{sweeps.queue_key(job): "5_0"}]
    assert adopted(Job(other, 1, fold_works.ends)) == ([], known), "an unrelated command forgets nothing"
    assert adopted(Job(first, 1, conditions)) == ([], known), "an evaluation is another job than the training"
    assert adopted(job) == (["5_0"], [])


def test_jobs_of_a_live_command_are_not_cancelled_and_their_results_are_found(
    slurm, choice, plan, tmp_path, monkeypatch
):
    (config,) = plan(tmp_path / "runs", seeds=(0,))
    job = Job(config, 1, fold_works.ends)
    monkeypatch.setattr(slurm_commands, "active_jobs", lambda: {"5_0"})
    with sweeps.SweepFile("slurm", [job]) as sweep:
        sweep.update({sweeps.queue_key(job): "5_0"})
        engine = choice.engine()
        future = engine.submit(job)
        assert engine._ids == {future: "5_0"}
        assert "left the queue without a result" in str(engine._outcome(future, "5_0"))
        config.fold_dir(1).mkdir(parents=True)
        fold_status.write_failure(config.fold_dir(1), "resnet_depth: loss term 'total' is not finite")
        assert str(engine._outcome(future, "5_0")) == "resnet_depth: loss term 'total' is not finite"
        for name in ("validation.json", "result.json"):  # of a search, and of a run
            (config.fold_dir(1) / name).touch()
            assert engine._outcome(future, "5_0") == FoldFinished(None, 0), "the other command has read the result"
            fold_status.clear_failure(config.fold_dir(1))
            fold_status.write_failure(config.fold_dir(1), "a late report of another node")
            assert not (config.fold_dir(1) / "failed.json").exists(), "the fold is finished"
            (config.fold_dir(1) / name).unlink()
        target = partial(evaluate_fold, conditions=(Condition.parse("noise:all:0.1"),))
        engine._jobs[future] = Job(config, 1, target)
        assert isinstance(engine._outcome(future, "5_0"), FoldFailed), "the fold is not evaluated"
        engine.cancel(future)
        assert len(sweeps.read_sweeps(tmp_path / "runs")) == 1
    assert not (slurm / "cancelled").exists()


@pytest.fixture
def half_sent(slurm, choice, plan, tmp_path, monkeypatch):
    """Jobs of one run, of which Slurm accepts the first array of two and refuses the rest."""
    (config,) = plan(tmp_path / "runs", seeds=(0,))
    engine, sent = choice.engine(), []

    def send(futures):
        if sent:
            return "Socket timed out"
        sent.extend(futures)
        engine._ids |= {future: f"7_{i}" for i, future in enumerate(futures)}
        return None

    monkeypatch.setattr(slurm_commands, "ARRAY_SIZE", 2)
    monkeypatch.setattr(slurm_commands, "active_jobs", lambda: {"7_0", "7_1"})
    monkeypatch.setattr(engine, "_send_array", send)
    return engine, [Job(config, fold, fold_works.ends) for fold in (1, 2, 3)]


def test_refused_jobs_fail_after_those_that_were_submitted(half_sent, slurm, monkeypatch, tmp_path, capfd):
    engine, jobs = half_sent
    results, ends = tmp_path / "runs" / "sweeps" / "slurm", []
    finish = {"7_0": FoldFinished(None, 0), "7_1": FoldFinished(None, 0)}
    monkeypatch.setattr(engine, "_outcome", lambda future, job_id: finish[job_id])

    def submit(job):
        future = type(engine).submit(engine, job)
        results.mkdir(parents=True, exist_ok=True)
        for name in finish:
            (results / f"{name}_0_result.pkl").touch()
        return future

    monkeypatch.setattr(engine, "submit", submit)
    with pytest.raises(UsageError, match="sbatch refused the jobs"):
        FoldScheduler(jobs, engine, lambda job, event: ends.append((job.fold, type(event)))).run()
    assert ends == [(1, FoldFinished), (2, FoldFinished)] and not (slurm / "cancelled").exists()
    said = "slurm: 1 folds are not submitted, as sbatch refused them (Socket timed out); repeat the command to submit"
    assert said in capfd.readouterr().err


def test_jobs_that_are_not_submitted_are_named_and_submitted_again(half_sent, choice, capfd, monkeypatch):
    engine, jobs = half_sent
    futures = [engine.submit(job) for job in jobs]
    assert list(engine.wait(0.0)) == [] and list(engine._refused) == futures[2:]
    sweep = sweeps.SweepFile("slurm", jobs)
    with sweep:
        sweep.update(engine.queued())
        engine.close(interrupted=True)
    err = capfd.readouterr().err
    assert "1 folds are not submitted; repeat the command" in err and "2 folds stay in the queue" in err
    again = choice.engine()
    futures = [again.submit(job) for job in jobs]
    assert list(again._ids) == futures[:2] and again._unsent == futures[2:]
    engine.cancel(next(iter(engine._refused)))
    assert not engine._refused and len(engine._cancelled) == 1


def test_arrays_shrink_below_the_limit_of_the_site(slurm, choice, plan, tmp_path, monkeypatch):
    (config,) = plan(tmp_path / "runs", seeds=(0,))
    engine, sizes = choice.engine(), []
    futures = [engine.submit(Job(config, 1, fold_works.ends)) for _ in range(10)]

    def send(chunk):
        if len(chunk) > 3:
            return "sbatch: error: QOSMaxSubmitJobPerUserLimit"
        if sum(sizes) + len(chunk) > 6:
            return "sbatch: error: MaxSubmitJobs limit"
        sizes.append(len(chunk))
        engine._ids |= dict.fromkeys(chunk, "1")
        return None

    monkeypatch.setattr(slurm_commands, "ARRAY_SIZE", 8)
    monkeypatch.setattr(engine, "_send_array", send)
    assert list(engine._send()) == [] and sizes == [2, 2, 2] and len(engine._unsent) == 4
    engine._ids.clear()
    sizes.clear()
    assert list(engine._send()) == [] and sum(sizes) == 4
    engine._unsent = futures[:2]
    engine._ids.clear()
    monkeypatch.setattr(engine, "_send_array", lambda chunk: "sbatch: error: invalid partition specified: gpu")
    assert [str(error) for _, error in engine._send()] == [
        "--slurm: sbatch refused the jobs (sbatch: error: invalid partition specified: gpu)"
    ] * 2


@pytest.mark.slow
def test_submissions_leave_only_the_files_of_jobs_and_print_no_refusal(slurm, choice, plan, tmp_path, capfd):
    (config,) = plan(tmp_path / "runs", seeds=(0,))
    engine = choice.engine()
    futures = [engine.submit(Job(config, fold, fold_works.ends)) for fold in (1, 2, 3)]
    engine._ids[engine._unsent.pop(0)] = "6_0"
    (slurm / "limit").write_text("0")
    for _ in range(2):
        assert list(engine._send()) == [] and engine._unsent == futures[1:]
    assert not list(engine._folder.iterdir())
    err = capfd.readouterr().err
    assert err.startswith("slurm: 2 folds wait until jobs have ended (sbatch: error:") and err.count("\n") == 1
    (slurm.parent / "bin" / "sbatch").write_text("#!/bin/sh\necho Submitted batch job 7\n")
    assert list(engine._send()) == [] and set(engine._ids.values()) == {"6_0", "7_0", "7_1"}
    assert {path.name for path in engine._folder.iterdir()} == {"7_0_submitted.pkl", "7_1_submitted.pkl"}


def test_options_of_slurm():
    options = parse_options("partition=gpu, time=4h,nodelist=a,b,mem=32G,cpus-per-task=8,nice=100,exclusive=")
    assert options["nodelist"] == "a,b" and options["mem"] == "32G"
    parameters = submission_parameters(options, "cuda", submitit.SlurmExecutor._valid_parameters())
    assert parameters["time"] == 240 and parameters["cpus_per_task"] == 8 and parameters["job_name"] == "aubench"
    assert parameters["additional_parameters"] == {"requeue": True, "nice": "100", "gpus": 1}
    assert parameters["exclusive"] is True
    assert submission_parameters({"signal_delay_s": "²"}, "cpu", {"signal_delay_s"})["signal_delay_s"] == "²"
    names = submission_parameters(parse_options("account=0042,qos=007"), "cpu", {"account", "qos"})
    assert (names["account"], names["qos"]) == ("0042", "007")
    nodes = submission_parameters({}, "cuda", submitit.SlurmExecutor._valid_parameters(), per_fold=4, nodes=2)
    assert (nodes["nodes"], nodes["ntasks_per_node"], nodes["cpus_per_task"]) == (2, 1, 4)
    assert nodes["additional_parameters"] == {"requeue": True, "gpus_per_node": 4}
    assert nodes["srun_args"] == ["--kill-on-bad-exit=1"]
    gres = submission_parameters(parse_options("gres=gpu:a100:1"), "cuda", {"gres"})
    assert "gpus" not in gres["additional_parameters"]
    for option in ("account=gpu_lab", "qos=gpu", "nodelist=gpu07", "constraint=gpu80gb"):
        assert submission_parameters(parse_options(option), "cuda", set())["additional_parameters"]["gpus"] == 1
    times = {
        "4h": 240,
        "90m": 90,
        "2d": 2880,
        "45": 45,
        "1-12:00:00": 2160,
        "1-12": 2160,
        "0-4:30": 270,
        "4:30:00": 270,
    }
    assert {text: parse_minutes(text) for text in times} == times


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slurm": "time=soon"}, "--slurm time: 'soon' is not a time; e.g. 4h, 90m or 1-12:00:00"),
        ({"slurm": "time=30:00"}, "--slurm time: '30:00' is not a time; e.g. 4h, 90m or 1-12:00:00"),
        ({"slurm": "gpu"}, "--slurm: 'gpu' is not KEY=VALUE; e.g. partition=gpu,time=4h"),
        ({"slurm": "=gpu"}, "--slurm: '=gpu' is not KEY=VALUE; e.g. partition=gpu,time=4h"),
        ({"slurm": "array=1-3"}, "--slurm: 'array' is set by aubench; omit it"),
        ({"slurm": "mem-per-gpu=8G,mem_per_gpu=9G"}, "--slurm: 'mem-per-gpu' is given twice; give it once"),
        ({"gpus_per_fold": 0.5}, "--gpus-per-fold: is an option of --engine ray; omit one of them"),
        ({"runs_per_device": 2}, "--runs-per-device: is an option of --engine local; on Ray, use --gpus-per-fold"),
        *(
            (
                {"slurm": options, "per_fold": 4, "nodes": nodes},
                f"--slurm: {problem}, and each fold needs {number}; give {number} or more, or omit it",
            )
            for options, nodes, problem, number in (
                ("cpus-per-task=1", 1, "cpus-per-task asks for 1", 4),
                ("gpus=a100:2", 1, "gpus asks for 2", 4),
                ("gpus=4", 2, "gpus asks for 4", 8),
                ("gpus-per-node=2", 2, "gpus-per-node asks for 2", 4),
                ("gres=gpu", 1, "gres asks for 1", 4),
                ("gres=gpu:a100:2,gpu:v100:1", 1, "gres asks for 3", 4),
            )
        ),
        ({"nodes": 0}, "--nodes: cannot be 0; give 1 or more"),
        ({"device": "mps"}, "--device: no device 'mps' on clusters; known: auto, cpu, cuda"),
    ],
)
@pytest.mark.usefixtures("slurm")
def test_wrong_options_are_one_line(options, message):
    with pytest.raises(UsageError) as raised:
        choose_engine("slurm", **options)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    "options",
    [
        *("cpus-per-task=4", "cpus-per-task=8,gpus=4", "gpus=a100:5", "gpus-per-task=4", "gres=gpu:2,gpu:v100:2"),
        *("gres=shard:1", "gres=gpu:a100:4(S:0)", "account=gpu_lab", "cpus-per-gpu=1"),
    ],
)
@pytest.mark.usefixtures("slurm")
def test_options_that_serve_a_fold_on_several_devices_are_accepted(options):
    choice = choose_engine("slurm", per_fold=4, slurm=options)
    assert choice.options == parse_options(options)


@pytest.mark.usefixtures("slurm")
def test_folds_on_cores_need_no_gpus():
    assert choose_engine("slurm", "cpu", per_fold=4, slurm="gres=gpu:1").kind == "cpu"
    with pytest.raises(UsageError, match="cpus-per-task asks for 2"):
        choose_engine("slurm", "cpu", per_fold=4, slurm="cpus-per-task=2")


def test_cores_per_gpu_exclude_cores_per_task():
    known = submitit.SlurmExecutor._valid_parameters()
    assert "cpus_per_task" not in submission_parameters({"cpus_per_gpu": "2"}, "cuda", known, per_fold=4)
    assert submission_parameters({"cpus_per_task": "9"}, "cuda", known, per_fold=4)["cpus_per_task"] == 9


def test_several_nodes_are_for_slurm():
    with pytest.raises(UsageError, match="--nodes: is an option of --engine slurm; omit one of them"):
        choose_engine("local", "cpu", nodes=2)


def test_a_machine_without_slurm_is_one_line(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match="--engine slurm: no sbatch on this machine; use a login node of a cluster"):
        choose_engine("slurm")


@pytest.mark.slow
def test_the_queue_is_read_by_the_commands_of_slurm(slurm):
    (slurm / "queue" / "3_1").write_text("PENDING")
    (slurm / "accounting" / "3_0").write_text("TIMEOUT")
    assert slurm_commands.active_jobs() == {"3_1"} and slurm_commands.last_state("3_0") == "TIMEOUT"
    assert slurm_commands.array_size() == 1000
    slurm_commands.cancel_jobs(["3_1"])
    assert slurm_commands.active_jobs() == set()
    (slurm.parent / "bin" / "squeue").unlink()
    assert slurm_commands.active_jobs() is None or shutil.which("squeue")


@pytest.mark.slow
def test_jobs_that_left_the_queue_do_not_fail_a_cancellation(slurm, monkeypatch):
    (slurm / "queue" / "3_1").write_text("PENDING")
    assert slurm_commands.cancel_jobs(["3_0", "3_1"]) and slurm_commands.active_jobs() == set()
    assert slurm_commands.cancel_jobs(["3_0", "3_1"]), "all have left"
    monkeypatch.setattr(slurm_commands, "active_jobs", lambda: None)
    assert not slurm_commands.cancel_jobs(["3_0"])


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)", True),
        ("Batch job submission failed: Invalid job array specification", True),
        ("Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)", False),
        ("Batch job submission failed: Invalid account or account/partition combination specified", False),
    ],
)
def test_limits_on_the_number_of_jobs_differ_from_other_refusals(reason, expected):
    assert slurm_commands.is_limit(reason) is expected
