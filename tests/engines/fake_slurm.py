"""Commands of Slurm for tests: ``sbatch`` runs the elements of an array one after the other on this machine.

The first argument is the name of the command. The queue and the accounting are files in the folder of ``FAKE_SLURM``.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(os.environ["FAKE_SLURM"])


def sbatch(script):
    text = Path(script).read_text()
    array = re.search(r"--array=0-(\d+)", text)
    count = int(array[1]) + 1 if array else 1
    limit = ROOT / "limit"
    if limit.exists() and count > int(limit.read_text()):
        sys.exit("sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit)")
    job = str(len(list(ROOT.glob("*.sh"))) + 1)
    (ROOT / f"{job}.sh").write_text(text)
    names = [f"{job}_{index}" for index in range(count)] if array else [job]
    for name in names:
        (ROOT / "queue" / name).write_text("PENDING")
    controller = [sys.executable, __file__, "controller", job, *names]
    subprocess.Popen(controller, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    print(f"Submitted batch job {job}")


def controller(job, *names):
    asked = re.search(r"#SBATCH --nodes=(\d+)", (ROOT / f"{job}.sh").read_text())
    nodes = asked[1] if asked else "1"  # each with one task
    for name in names:
        entry = ROOT / "queue" / name
        while entry.exists():
            array = {"SLURM_ARRAY_JOB_ID": job, "SLURM_ARRAY_TASK_ID": name.partition("_")[2]} if "_" in name else {}
            environment = os.environ | {"SLURM_JOB_ID": name.replace("_", "00"), "SLURM_NTASKS": nodes, **array}
            with (ROOT / "starts").open("a") as file:
                file.write(f"{name}\n")
            process = subprocess.Popen(["bash", ROOT / f"{job}.sh"], env=environment, start_new_session=True)
            entry.write_text(str(process.pid))
            code = process.wait()
            if (ROOT / "requeue" / name).exists():
                (ROOT / "requeue" / name).unlink()
                continue
            (ROOT / "accounting" / name).write_text("COMPLETED" if code == 0 else "OUT_OF_MEMORY")
            entry.unlink(missing_ok=True)


def srun(*words):
    words, options = list(words), {}
    while words[0].startswith("--"):
        word = words.pop(0)
        name, equals, value = word.partition("=")
        options[name] = value if equals or name == "--unbuffered" else words.pop(0)
    paths = {name: re.sub("%[jAat]", "x", options[name]) for name in ("--output", "--error")}
    with Path(paths["--output"]).open("a") as out, Path(paths["--error"]).open("a") as err:
        tasks = [
            subprocess.Popen(words, stdout=out, stderr=err, env=os.environ | {"SLURM_PROCID": str(number)})
            for number in range(int(os.environ["SLURM_NTASKS"]))
        ]
        while any(task.poll() is None for task in tasks):
            if options.get("--kill-on-bad-exit") == "1" and any(task.poll() for task in tasks):
                os.killpg(0, signal.SIGKILL)  # all processes of the job
            time.sleep(0.1)
        sys.exit(max(task.wait() for task in tasks))


def squeue(*words):
    print("\n".join(path.name for path in (ROOT / "queue").iterdir()))


def sacct(*words):
    job = next(word.partition("=")[2] for word in words if word.startswith("--jobs="))
    path = ROOT / "accounting" / job
    print(path.read_text() if path.exists() else "PENDING")


def scontrol(action, *words):
    if action == "show":
        print(f"MaxArraySize            = {os.environ.get('FAKE_SLURM_ARRAY', '1001')}")
    else:
        (ROOT / "requeue" / words[0]).write_text("")


def scancel(*names):
    absent = [name for name in names if not (ROOT / "queue" / name).exists()]
    for name in names:
        entry = ROOT / "queue" / name
        content = entry.read_text() if entry.exists() else ""
        entry.unlink(missing_ok=True)
        if content.isdigit():
            os.killpg(int(content), signal.SIGKILL)
    with (ROOT / "cancelled").open("a") as file:
        file.write(shlex.join(names) + "\n")
    if absent:
        sys.exit(f"scancel: error: Kill job error on job id {absent[0]}: Invalid job id specified")


if __name__ == "__main__":
    name, *words = sys.argv[1:]
    globals()[name](*words)
