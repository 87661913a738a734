"""What several rooms' tests share."""

import ctypes
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

# How long an example takes is the machine's affair.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# One for each run, so that nodes of runs at the same time do not meet; on every system up to 101.
os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
# For several participants in this process; the file says why. Up to Jazzy the name is the older.
FAST_DDS = "FASTRTPS" if os.environ.get("ROS_DISTRO") == "jazzy" else "FASTDDS"
PROFILES = Path(__file__).parent / "support" / "fastdds.xml"
os.environ.setdefault(f"{FAST_DDS}_DEFAULT_PROFILES_FILE", str(PROFILES))

DRIVES = Path(__file__).parents[1].parent / "shared" / "data" / "drives"


@pytest.fixture(autouse=True)
def ordinary_priority():
    """Undo what SVT-AV1 does as root: who opens its encoder gets real-time priority.

    Every thread and process that is started afterwards would inherit it, and two of Fast DDS that
    wait for a lock by spinning would let nothing else run, whoever holds it included. Fixtures of
    wider scopes have encoded before this one begins.
    """
    _give_up_priority()
    yield
    _give_up_priority()


def _give_up_priority():
    # Not os.sched_setscheduler: the C library would go on believing what it was told before, and
    # Fast DDS makes of its threads what the library says of the one that starts them.
    libc = ctypes.CDLL(None, use_errno=True)
    libc.pthread_self.restype = ctypes.c_ulong
    priority = ctypes.c_int(0)  # struct sched_param
    this = ctypes.c_ulong(libc.pthread_self())
    assert libc.pthread_setschedparam(this, os.SCHED_OTHER, ctypes.byref(priority)) == 0


@pytest.fixture(scope="session")
def drive():
    """Find a shared drive by file name, or skip; TWNET_REQUIRE_DATA=1 fails instead."""

    def find(name):
        path = DRIVES / name
        if not path.is_file():
            reason = f"the shared drive {name} is not there"
            if os.environ.get("TWNET_REQUIRE_DATA") == "1":
                pytest.fail(reason)
            pytest.skip(reason)
        return path

    return find


@pytest.fixture
def twnet(capfd):
    """Run a command line; return (exit status, lines of stdout, lines of stderr)."""
    from twnet_ros.cli import main

    def run(*arguments):
        capfd.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as left:
            status = left.code
        out, err = capfd.readouterr()
        return status, out.splitlines(), err.splitlines()

    return run


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """The checkpoint of a small random network with the classes a, b and c."""
    import torch

    from twnet_ros.net import Config, TWNet, save_checkpoint

    torch.manual_seed(0)
    config = Config("mobilenetv1", 1, ("a", "b", "c"), ((9, 9, 9),) * 3, (64, 32))
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_checkpoint(path, TWNet(config))
    return path


@pytest.fixture
def reordered_clip(tmp_path):
    """The file of a video of 13 frames with two B-frames in a row."""
    import av

    path = tmp_path / "reordered.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = {"x264-params": "bframes=2:b-adapt=0:scenecut=0"}
        for plane in np.random.default_rng(0).integers(0, 256, (13, 72, 64), np.uint8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(plane, "yuv420p")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def pan_over():
    """Make RGB frames of a camera that pans by (dx, dy) px a frame over smooth random squares."""

    def make(count, *, width, height, square, blur, dx=4, dy=0, seed=0):
        margin = 64
        rng = np.random.default_rng(seed)
        rows, columns = (height + 2 * margin) // square, (width + 2 * margin) // square
        world = rng.integers(0, 256, (rows, columns, 3)).astype(np.float32)
        world = world.repeat(square, axis=0).repeat(square, axis=1)
        for axis in (0, 1):  # a box blur, so that sub-pel positions are meaningful
            world = sum(np.roll(world, k, axis) for k in range(blur)) / blur
        world = world.astype(np.uint8)
        return [
            world[margin + i * dy :, margin + i * dx :][:height, :width].copy()
            for i in range(count)
        ]

    return make


class Recorder:
    """Records steps as CUDA does, but for computing them at once and again, in the same memory."""

    def __init__(self, *failures):
        self.failures, self.recorded = list(failures), []

    def __call__(self, step, inputs):
        if self.failures:
            raise self.failures.pop()
        self.recorded.append([part.shape for part in inputs])
        results = tuple(part.clone() for part in step(*inputs))

        def replay():
            for result, found in zip(results, step(*inputs), strict=True):
                result.copy_(found)

        return replay, results


@pytest.fixture
def recorder_of():
    """Make what stands in for CUDA's recorder of graphs, and fails at first as it is told to."""
    return Recorder
