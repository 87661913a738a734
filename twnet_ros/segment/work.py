"""One frame on its way through the passes and the network."""

from dataclasses import dataclass

from torch import Tensor

from twnet_ros.codec import CodedFrame
from twnet_ros.segment.evidence import nothing
from twnet_ros.segment.input import Geometry, InputPass
from twnet_ros.segment.moment import Moment
from twnet_ros.segment.output import classify
from twnet_ros.segment.segmentation import Evidence, Path, Segmentation, Wish


@dataclass(slots=True)
class Work:
    """What is known of a frame so far."""

    frame: CodedFrame
    wish: Wish
    picture: Tensor  # (1, 3, H, W), YCbCr levels at the network's size
    image: Tensor  # (1, 3, H, W), the network's input
    evidence: Evidence | None
    start: Moment
    prepared: Moment = Moment()  # for the network

    @classmethod
    def begin(cls, frame: CodedFrame, source: InputPass, wish: Wish) -> "Work":
        """Take a frame in; the wish that holds now holds to its end."""
        start = Moment.of(source.device)
        picture, image = source.convert(frame)
        evidence = nothing(source.geometry) if wish.evidence else None
        return cls(frame, wish, picture, image, evidence, start)

    def finish(
        self, logits: Tensor, geometry: Geometry, path: Path, distance: int
    ) -> Segmentation:
        """Return the result of a frame with these logits."""
        computed = Moment.of(logits.device)  # by the network
        labels, confidence = classify(logits, geometry, self.wish)
        end = Moment.of(logits.device)
        frame = self.frame
        times = {
            "decode": frame.decode_ms,
            "input": self.start.ms_to(self.prepared),
            "network": self.prepared.ms_to(computed),
            "output": computed.ms_to(end),
            # By the host's clock, which also counts how long a GPU was busy with other streams.
            "total": 1e3 * (end.seconds - self.start.seconds) + frame.decode_ms,
        }
        of_frame = frame.index, frame.pts, frame.kind
        return Segmentation(labels, *of_frame, path, distance, times, confidence, self.evidence)
