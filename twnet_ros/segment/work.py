"""One frame on its way through the passes and the network."""

import time
from dataclasses import dataclass

from torch import Tensor

from twnet_ros.codec import CodedFrame
from twnet_ros.segment.evidence import nothing
from twnet_ros.segment.input import Geometry, InputPass
from twnet_ros.segment.output import classify
from twnet_ros.segment.segmentation import Evidence, Path, Segmentation, Wish


@dataclass(slots=True)
class Work:
    """What is known of a frame so far; the times are those of ``time.perf_counter``."""

    frame: CodedFrame
    wish: Wish
    picture: Tensor  # (1, 3, H, W), YCbCr levels at the network's size
    image: Tensor  # (1, 3, H, W), the network's input
    evidence: Evidence | None
    start: float
    prepared: float = 0.0  # for the network
    computed: float = 0.0  # by the network

    @classmethod
    def begin(cls, frame: CodedFrame, source: InputPass, wish: Wish) -> "Work":
        """Take a frame in; the wish that holds now holds to its end."""
        start = time.perf_counter()
        picture, image = source.convert(frame)
        evidence = nothing(source.geometry) if wish.evidence else None
        return cls(frame, wish, picture, image, evidence, start)

    def finish(
        self, logits: Tensor, geometry: Geometry, path: Path, distance: int
    ) -> Segmentation:
        """Return the result of a frame with these logits."""
        labels, confidence = classify(logits, geometry, self.wish)
        end = time.perf_counter()
        frame = self.frame
        times = {
            "decode": frame.decode_ms,
            "input": 1e3 * (self.prepared - self.start),
            "network": 1e3 * (self.computed - self.prepared),
            "output": 1e3 * (end - self.computed),
            "total": 1e3 * (end - self.start) + frame.decode_ms,
        }
        of_frame = frame.index, frame.pts, frame.kind
        return Segmentation(labels, *of_frame, path, distance, times, confidence, self.evidence)
