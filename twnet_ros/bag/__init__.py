"""rosbag2 and packets, in both directions."""

try:
    from twnet_ros.bag.camera import Camera, read_camera
    from twnet_ros.bag.error import BagError
    from twnet_ros.bag.reader import read_labels, read_packets
    from twnet_ros.bag.sequence import PICTURES, find_runs, usual_fps
    from twnet_ros.bag.writer import Shot, Stream, write_bag
except ModuleNotFoundError as error:
    raise ImportError(
        f"twnet_ros.bag needs {error.name}: pip install 'rosbags>=0.11' PyYAML"
    ) from error

__all__ = [
    "PICTURES",
    "BagError",
    "Camera",
    "Shot",
    "Stream",
    "find_runs",
    "read_camera",
    "read_labels",
    "read_packets",
    "usual_fps",
    "write_bag",
]
