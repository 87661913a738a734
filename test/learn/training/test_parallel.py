"""Several processes, started by torchrun: the training that one process does, and its end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from twnet_ros.learn.training import parallel
from twnet_ros.net import load_checkpoint, save_checkpoint

# The command in single precision, with batch norms that keep their statistics: then nothing but
# the order of sums may differ.
EXACT = """
import os, sys
import torch
from twnet_ros.cli import main
from twnet_ros.learn.training import key, nonkey
from twnet_ros.net import TWNet

TWNet.train = lambda model, mode=True: torch.nn.Module.train(model, False)
fit = nonkey.fit_rectification
nonkey.fit_rectification = lambda model, stretches, count, *rest: fit(model, stretches, 3, *rest)
"""
RUN = "sys.exit(main(sys.argv[1:]))\n"
CRASH = """
def crash(*arguments):
    raise RuntimeError("process 1 has crashed")

if os.environ["RANK"] == "1":
    key.segmentation_loss = crash
"""
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node")
TIMEOUT = 300  # seconds; instead of for ever


@pytest.fixture
def data(still_folder, tmp_path):
    """Write stills and a network; return the options common to both steps."""
    folder = still_folder(6)
    classes = tmp_path / "classes.json"
    colors = [[1, 1, 1], [2, 2, 2], [3, 3, 3]]
    classes.write_text(json.dumps({"names": ["road", "sky", "car"], "colors": colors}))
    common = ("--data", folder, "--classes", classes, "--clip-size", "96x64", "--device", "cpu")
    return (*common, "--batch", "4", "--rate", "1e-5", "--precision", "fp32")


@pytest.fixture
def model(network, tmp_path):
    """Write the checkpoint of a random network whose batch norms have seen pictures."""
    made = network()
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    made.train().key(torch.randn(4, 3, 64, 96))
    made.copy_key_parts()
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, made)
    return path


@pytest.fixture
def train(tmp_path):
    """Train in so many processes; return the finished torchrun, or the finished process."""

    def run(processes, *arguments, script=EXACT + RUN):
        path = tmp_path / "script.py"
        path.write_text(script)
        launcher = (*TORCHRUN, str(processes)) if processes > 1 else ()
        command = (sys.executable, *launcher, path, "train", *arguments)
        root = str(Path(parallel.__file__).parents[3])
        environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [str(part) for part in command],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )

    return run


def state(run):
    return torch.load(run / "state.pt", weights_only=True)


def same(one, two, rtol):
    """Compare the parameters and what the optimiser remembers of their gradients."""
    for name, tensor in one["model"].items():
        assert (two["model"][name] - tensor).abs().max() <= rtol * (tensor.abs().max() + 0.1), name
    moments, others = one["optimiser"]["state"], two["optimiser"]["state"]
    assert moments.keys() == others.keys()
    for number in moments:
        a, b = moments[number]["exp_avg"], others[number]["exp_avg"]
        assert (a - b).norm() <= rtol * a.norm() + 1e-9, number


@pytest.mark.parametrize(
    "step, options, rtol",
    [
        (
            "key",
            ("--crop", "64x64", "--hold-out", "B_005"),
            1e-2,
        ),  # convolutions round as the batch is
        ("nonkey", ("--correction", "none"), 1e-4),
        ("nonkey", (), 1e-2),  # the least-squares start amplifies the rounding of its sums
    ],
)
def test_two_processes_train_as_one_does(train, data, model, tmp_path, step, options, rtol):
    start = ("--init" if step == "key" else "--model", model)
    arguments = (step, *data, *start, *options, "--iterations", "3", "--validate-every", "2")
    for processes in (1, 2):
        done = train(processes, *arguments, "--out", tmp_path / str(processes))
        assert done.returncode == 0, done.stderr
    one, two = state(tmp_path / "1"), state(tmp_path / "2")
    assert two["reached"][0] == one["reached"][0] == 3
    assert two["reached"][1] == pytest.approx(one["reached"][1])
    same(one, two, rtol)
    before = load_checkpoint(model).state_dict()
    assert any(not torch.equal(one["model"][name], tensor) for name, tensor in before.items())
    # One process has written: one file of logs, one line for each score.
    assert len(list((tmp_path / "2").glob("events*"))) == 1
    lines = (done.stdout + done.stderr).replace("\r", "\n").splitlines()
    assert sorted(line[:2] for line in lines if line[1:2] == ":") == ["0:", "2:", "3:"]


def test_batches_that_cannot_be_shared(train, data, tmp_path):
    done = train(2, "key", *data, "--batch", "3", "--out", tmp_path / "run")
    assert done.returncode != 0
    assert "batch: expected a multiple of the 2 processes, got 3" in done.stderr
    assert not (tmp_path / "run" / "state.pt").exists()


def test_a_crash_of_one_process_ends_the_run(train, data, tmp_path):
    own = ("--crop", "64x64", "--iterations", "3", "--out", tmp_path / "run")
    done = train(2, "key", *data, *own, script=EXACT + CRASH + RUN)
    assert done.returncode != 0
    assert "process 1 has crashed" in done.stderr
    assert state(tmp_path / "run")["reached"][0] == 0


def test_one_process_has_it_all():
    with parallel.processes("cuda:1") as device:
        assert device == "cuda:1"  # whether there is one is said where it is used
        assert (parallel.count(), parallel.is_first()) == (1, True)
        assert parallel.share(5) == range(5)
        assert parallel.mean(torch.tensor(3.0)) == 3
