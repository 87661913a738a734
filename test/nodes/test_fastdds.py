"""The shipped Fast DDS profile, as Fast DDS reads it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import rclpy

PROFILE = Path(__file__).parents[2] / "config" / "fastdds.xml"
LARGE_IMAGE = 3 * 2048 * 1024  # bytes, in colour
# The largest file of shared memory that a participant maps.
PROBE = """
import json, rclpy
from collections import Counter

rclpy.init()
node = rclpy.create_node("probe")
sizes = Counter()
for line in open("/proc/self/maps"):
    if "/dev/shm/fast" in line:
        first, last = (int(address, 16) for address in line.split()[0].split("-"))
        sizes[line.split()[-1]] += last - first
print(json.dumps(max(sizes.values(), default=0)))
"""


def segment_bytes(**environment):
    result = subprocess.run(
        [sys.executable, "-c", PROBE],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "XMLPARSER" not in result.stdout + result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.skipif(
    rclpy.get_rmw_implementation_identifier() != "rmw_fastrtps_cpp",
    reason="the middleware is not Fast DDS",
)
def test_the_profile_makes_room_for_large_images():
    names = "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"  # up to Jazzy
    assert segment_bytes(**dict.fromkeys(names, str(PROFILE))) > 4 * LARGE_IMAGE
