"""Damaging a recorded stream on purpose, and telling what was noticed."""

import hashlib
import os
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from twnet_ros.codec import CodecError, CodedFrame, StreamDecoder, read_packets
from twnet_ros.segment.picture import write_png
from twnet_ros.segment.segmentation import Segmentation, SegmentError
from twnet_ros.segment.segmenter import Segmenter

FAULTS = ("loss", "duplicate", "reorder", "truncate", "flip")
# More packets than any decoder holds pictures back for.
_HELD_PACKETS = 17


@dataclass(slots=True)
class Sent:
    """One packet on its way, what was done to it and what came of it."""

    number: int  # of the clip's packet
    data: bytes
    key: bool
    faults: tuple[str, ...] = ()
    again: bool = False  # the second of two
    fate: str = ""  # published, or why not
    outcome: str = ""  # of the damage: noticed, unnoticed or harmless
    sound: bool = False  # it and all it is predicted from came whole and in order

    @property
    def lost(self) -> bool:
        """Whether it never arrives."""
        return "loss" in self.faults


@dataclass(frozen=True, slots=True)
class _Original:
    """A frame of the undamaged stream."""

    index: int  # in the order of display
    key: bool
    picture: bytes  # digests
    motion: bytes


def damage(
    packets: Sequence[tuple[bytes, bool]], rates: Mapping[str, float], seed: int
) -> list[Sent]:
    """Return packets (data, key) as a bad network would send them on, lost ones still in place.

    ``rates`` are the probabilities of ``FAULTS`` per packet: never to arrive; to arrive twice; to
    change places with the next; to be cut anywhere; to have one bit inverted anywhere. The same
    seed damages the same packets in the same way.
    """
    for name, rate in rates.items():
        if name not in FAULTS or not 0 <= rate <= 1:
            raise SegmentError(
                f"expected probabilities from 0 to 1 of {', '.join(FAULTS)}, got {name} {rate}"
            )
    draw = random.Random(seed)
    sent: list[Sent] = []
    for number, (data, key) in enumerate(packets):
        # Always as many draws, so that one probability does not change what another one hits.
        chosen = [name for name in FAULTS if draw.random() < rates.get(name, 0.0)]
        cut, bit = draw.randrange(len(data)), draw.randrange(8 * len(data))
        if "loss" in chosen:
            chosen = ["loss"]
        if number == len(packets) - 1 and "reorder" in chosen:
            chosen.remove("reorder")
        if "flip" in chosen:
            flipped = data[bit // 8] ^ 0x80 >> bit % 8
            data = data[: bit // 8] + bytes([flipped]) + data[bit // 8 + 1 :]
        if "truncate" in chosen:
            data = data[:cut]
        sent.append(Sent(number, data, key, tuple(chosen)))
    at = 0
    while at < len(sent) - 1:
        if "reorder" in sent[at].faults:
            sent[at : at + 2] = sent[at + 1], sent[at]
            at += 1
        at += 1
    return [copy for packet in sent for copy in _copies(packet)]


def run(
    clip: str | os.PathLike[str],
    rates: Mapping[str, float],
    seed: int,
    *,
    labels: Path | None = None,
    model: str = "",
    device: str = "auto",
    precision: str = "auto",
    input_size: tuple[int, int] | None = None,
) -> dict[str, object]:
    """Send a video file through ``damage`` and the decoder, and account for every packet.

    A frame is published when the decoder hands it on as intact. With ``labels`` the network labels
    it, and its train ids are written there by the frame's number in the undamaged file, as
    ``twnet segment --labels`` names them; the settings are those of ``Segmenter.load``.

    Damage is ``noticed`` when the decoder says so before a wrong frame came out as intact,
    ``unnoticed`` when one did (it differs from that of the undamaged stream in its picture or its
    vectors), and ``harmless`` when neither happened up to the next key frame.
    """
    info, packets = read_packets(clip)
    whole = [(packet.data, packet.key) for packet in packets]
    originals = _decode_whole(info.codec, [data for data, _ in whole])
    sent = damage(whole, rates, seed)
    _mark_sound(sent, originals)
    segmenter = None
    if labels is not None:
        segmenter = Segmenter.load(model, device, precision, input_size)
        labels.mkdir(parents=True, exist_ok=True)
    account = _Account(sent, originals)
    numbers: dict[int, int] = {}  # of the frames that the network has not labelled yet

    def keep(results: Iterable[Segmentation]) -> None:
        for result in results:
            number = numbers.pop(result.index, None)  # None: the undamaged file has no such frame
            if labels is not None and number is not None:
                write_png(labels / f"{number:05d}.png", result.labels)

    for frame in _decode(info.codec, account):
        if segmenter is None:
            continue
        if frame.pts is not None and sent[frame.pts].number in originals:
            numbers[frame.index] = originals[sent[frame.pts].number].index
        keep(segmenter.step(frame))
        if segmenter.waiting:
            numbers.clear()
    if segmenter is not None:
        keep(segmenter.flush())
    return {"codec": info.codec, **account.summary()}


class _Account:
    """What became of each packet and of the damage done to it."""

    def __init__(self, sent: list[Sent], originals: Mapping[int, _Original]) -> None:
        self.sent = sent
        self.wrong = 0  # frames published that differ from the original
        self._originals = originals
        self._starts = [_start(sent, at) for at in range(len(sent))]
        self._open: list[int] = []  # damaged packets of which nothing has come yet
        self._culprit: int | None = None  # what the wrong frames since the last key come from
        self._faults: list[int] = []  # packets at which the chain was broken

    def begin(self, at: int) -> None:
        """Take down the damage that begins with a packet."""
        self._open += [
            other
            for other in range(at, min(at + 4, len(self.sent)))
            if self.sent[other].faults and self._starts[other] == at
        ]

    def notice(self) -> None:
        """Settle the damage so far: the decoder says that something is wrong."""
        for at in self._open:
            self.sent[at].outcome = "noticed"
        self._open.clear()

    def end(self, at: int, decoder: StreamDecoder, failed: bool) -> None:
        """Take down how the decoder answered to a packet."""
        if failed:
            self.sent[at].fate = "decode_error"
        elif self.sent[at].fate == "":
            if decoder.fault:
                self.sent[at].fate = "waiting_for_key_frame"
            elif decoder.left_out:
                self.sent[at].fate = "left_out"
        if decoder.fault:
            self._faults.append(at)

    def frame(self, frame: CodedFrame, motion: bool) -> None:
        """Take down a frame that came out; without ``motion`` its vectors are not compared."""
        at = frame.pts
        if at is None:
            raise CodecError("expected the frame of a known packet, got one without pts")
        packet = self.sent[at]
        packet.fate = "published" if frame.intact else "waiting_for_key_frame"
        if not frame.intact:
            return
        original = self._originals.get(packet.number)
        right = original is not None and original.picture == _digest_picture(frame)
        if motion and right and original is not None:
            right = original.motion == _digest_motion(frame)
        if frame.key and right:
            self._culprit = None
            for other in [other for other in self._open if other < at]:
                self._settle(other, "harmless")
        if not right:
            self.wrong += 1
            self._blame(at)

    def _blame(self, at: int) -> None:
        if self._culprit is None:
            begun = [n for n, start in enumerate(self._starts) if start <= at]
            candidates = [n for n in begun if n in self._open]
            candidates = candidates or [n for n in begun if self.sent[n].faults]
            if candidates:
                self._culprit = candidates[-1]
                self._settle(self._culprit, "unnoticed")

    def _settle(self, at: int, outcome: str) -> None:
        self.sent[at].outcome = outcome
        if at in self._open:
            self._open.remove(at)

    def summary(self) -> dict[str, object]:
        """Return the counts, as ``twnet chaos`` prints them."""
        for at in self._open:
            self.sent[at].outcome = "harmless"
        for at, packet in enumerate(self.sent):
            if packet.lost:
                packet.fate = "lost"
            elif not packet.fate and packet.number not in self._originals:
                packet.fate = "no_picture_in_the_clip_either"
            elif not packet.fate and any(at < n <= at + _HELD_PACKETS for n in self._faults):
                packet.fate = "held_back_at_a_fault"
        fates = Counter(packet.fate for packet in self.sent)
        published, unaccounted = fates.pop("published", 0), fates.pop("", 0)
        damaged = [packet for packet in self.sent if packet.faults]
        sound = [packet for packet in self.sent if packet.sound]
        return {
            "sent": len(self.sent),
            "published": published,
            "accounted_for": dict(sorted(fates.items())),
            "unaccounted_for": unaccounted,
            **_outcomes(damaged),
            "wrong_frames_published": self.wrong,
            "sound": len(sound),
            "sound_published": sum(packet.fate == "published" for packet in sound),
            "faults": {
                name: _outcomes([packet for packet in damaged if name in packet.faults])
                for name in FAULTS
            },
        }


def _outcomes(damaged: Iterable[Sent]) -> dict[str, int]:
    counts = Counter(packet.outcome for packet in damaged)
    kinds = ("noticed", "unnoticed", "harmless")
    return {"damaged": counts.total(), **{kind: counts[kind] for kind in kinds}}


def _start(sent: Sequence[Sent], at: int) -> int:
    """Return where the damage to a packet begins: for one that comes late, where it is missed."""
    start = at
    if "reorder" in sent[at].faults:
        while start and sent[start - 1].number > sent[at].number:
            start -= 1
    return start


def _copies(packet: Sent) -> list[Sent]:
    if "duplicate" not in packet.faults:
        return [packet]
    # The damage is that there is a second one; any other counts as the first one's.
    faults = tuple(name for name in packet.faults if name != "duplicate")
    first = Sent(packet.number, packet.data, packet.key, faults)
    return [first, Sent(packet.number, packet.data, packet.key, ("duplicate",), again=True)]


def _mark_sound(sent: Iterable[Sent], originals: Mapping[int, _Original]) -> None:
    """Mark the packets whose chain of references is whole in truth, at least since a key frame."""
    last, begin = -1, None  # the index of the first frame that can be sound
    for packet in sent:
        original = originals.get(packet.number)
        if packet.lost or packet.again or original is None:
            continue  # what is lost shows in the number of the next one
        follows, last = packet.number == last + 1, packet.number
        if "truncate" in packet.faults or "flip" in packet.faults:
            begin = None
        elif packet.key and original.key and not (follows and begin is not None):
            begin = original.index
        elif not follows and not packet.key:
            begin = None
        packet.sound = begin is not None and original.index >= begin


def _decode(codec: str, account: _Account) -> Iterator[CodedFrame]:
    decoder = StreamDecoder(codec)
    for at, packet in enumerate(account.sent):
        account.begin(at)
        if packet.lost:
            continue
        frames: list[CodedFrame] = []
        failed = False
        try:
            frames = decoder.decode(packet.data, pts=at)
        except CodecError:
            failed = True
        if failed or decoder.notice:
            account.notice()
        for frame in frames:
            account.frame(frame, motion=True)
            yield frame
        account.end(at, decoder, failed)
    try:
        frames = decoder.flush()
    except CodecError:
        account.notice()
        frames = decoder.flush()  # what came before that
    for frame in frames:
        # FFmpeg exports no vectors of what it held back to the end of an MPEG-4 stream.
        account.frame(frame, motion=codec == "h264")
        yield frame


def _decode_whole(codec: str, packets: Iterable[bytes]) -> dict[int, _Original]:
    """Decode the undamaged stream; a packet that is broken in the file itself has no frame."""
    decoder = StreamDecoder(codec)
    originals: dict[int, _Original] = {}

    def keep(frames: Iterable[CodedFrame]) -> None:
        for frame in frames:
            if frame.pts is not None:
                digests = _digest_picture(frame), _digest_motion(frame)
                originals[frame.pts] = _Original(frame.index, frame.key, *digests)

    for number, data in enumerate(packets):
        try:
            keep(decoder.decode(data, pts=number))
        except CodecError:
            continue
    with suppress(CodecError):
        keep(decoder.flush())
    keep(decoder.flush())  # what came before a picture that is broken
    return originals


def _digest_picture(frame: CodedFrame) -> bytes:
    digest = hashlib.blake2b(f"{frame.color_matrix} {frame.full_range} {frame.y.shape}".encode())
    for plane in (frame.y, frame.u, frame.v):
        digest.update(plane.tobytes())
    return digest.digest()


def _digest_motion(frame: CodedFrame) -> bytes:
    if frame.motion is None:
        return b""
    motion = frame.motion.displacement.tobytes() + frame.motion.reference.tobytes()
    return hashlib.blake2b(motion).digest()
