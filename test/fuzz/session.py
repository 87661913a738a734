"""A stream on its way through the intake as the node has it, and what must be true of it."""

import gc
import hashlib
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass

from mutation import Donors, Mutator, mutate_stretch
from sample import (
    CHUNK,
    CODECS,
    CORPUS,
    LOST,
    PACKET,
    SEEDS,
    SOUND,
    SOUND_STREAMS,
    Step,
    codec_of,
    encode,
    load,
)

from twnet_ros.codec import CodecError, CodedFrame, StreamDecoder, codec_of_format
from twnet_ros.codec.bitstream import headers_of, inspect_packet
from twnet_ros.codec.payload import Assembler, annexb_payload

LIMIT_S = 1.0  # of processor time that a packet may take
# Two GOPs, which are more than any decoder holds pictures back for.
LAST_SOUND, GOP = 24, 12
_CHUNKS = 60
_LARGE_PX = 1 << 20


class Finding(Exception):  # noqa: N818
    """Something that must not happen; ``kind`` groups those of one cause."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


@dataclass(slots=True)
class Count:
    """What came of some packets."""

    packets: int = 0
    mutated: int = 0
    errors: int = 0
    frames: int = 0
    intact: int = 0
    recoveries: int = 0  # sound key frames that came out right after damage
    refused: int = 0  # sound frames of MPEG-4 between a key frame that came out right and the next
    slowest_ms: float = 0.0

    def add(self, other: "Count") -> None:
        """Add what came of others."""
        for name in ("packets", "mutated", "errors", "frames", "intact", "recoveries", "refused"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.slowest_ms = max(self.slowest_ms, other.slowest_ms)


class Material:
    """The corpus' streams and a sound one of each codec, with what it decodes to."""

    def __init__(self) -> None:
        self.seeds: dict[str, list[list[bytes]]] = {"h264": [], "mpeg4": []}
        for name in SEEDS:
            path = CORPUS / f"{name}.steps"
            self.seeds[codec_of(path)].append([data for _, data in load(path)])
        self.donors: Donors = {
            codec: [data for stream in streams for data in stream]
            for codec, streams in self.seeds.items()
        }
        # Two of them, since a key picture that comes again at once is left out.
        self.sound = {
            codec: [_decoded(codec, encode(*settings, count=LAST_SOUND, seed=n)) for n in (1, 2)]
            for codec, settings in SOUND_STREAMS.items()
        }


def _decoded(codec: str, packets: list[bytes]) -> list[tuple[bytes, str]]:
    decoder = StreamDecoder(codec)
    frames = [frame for packet in packets for frame in decoder.decode(packet)]
    digests = [digest(frame) for frame in frames + decoder.flush()]
    return list(zip(packets, digests, strict=True))


def digest(frame: CodedFrame) -> str:
    """Read every sample and vector of a frame."""
    if frame.y.size > _LARGE_PX:
        return f"{frame.y.max()} {frame.u.max()} {frame.v.max()}"
    hashed = hashlib.blake2b(digest_size=8)
    for plane in (frame.y, frame.u, frame.v):
        hashed.update(plane.tobytes())
    if frame.motion is not None:
        hashed.update(frame.motion.displacement.tobytes() + frame.motion.reference.tobytes())
    return f"{frame.width}x{frame.height} {hashed.hexdigest()}"


def make_case(material: Material, seed: int, number: int) -> tuple[str, list[Step], int]:
    """Return a codec, a stream of it, and how many of its packets are no longer what they were."""
    draw = random.Random(f"{seed} {number}")
    codec = CODECS[number % 2]
    steps: list[Step] = []
    mutated = 0
    for _ in range(60 if draw.random() < 1 / 64 else draw.choice((2, 4, 8))):
        stream = draw.choice(material.seeds[codec])
        mutator = Mutator(codec, draw, material.donors)
        mutator.learn(stream)
        begin = draw.choice((0, 0, 0, draw.randrange(len(stream))))
        changed = mutate_stretch(stream[begin : begin + draw.randint(2, 8)], mutator, draw)
        mutated += sum(packet not in stream for packet in changed)
        if draw.random() < 0.1:
            whole = b"".join(changed)
            cuts = sorted(draw.randint(0, len(whole)) for _ in range(draw.randint(0, _CHUNKS)))
            ends = zip([0, *cuts], [*cuts, len(whole)], strict=True)
            steps += [(CHUNK, whole[start:end]) for start, end in ends]
        else:
            steps += [(PACKET, packet) for packet in changed]
        if draw.random() < 0.05:
            steps.append((LOST, mutator.mutate(stream[0])))
        if draw.random() < 0.7:
            steps.append((SOUND, bytes([draw.choice((1, 1, 2, 4))])))
    return codec, steps, mutated


def run_case(material: Material, codec: str, steps: Sequence[Step]) -> Count:
    """Take a stream in, then a sound one; Finding where anything but CodecError came of it."""
    session = _Session(material, codec)
    for kind, data in steps:
        if kind == PACKET:
            session.decode(data)
        elif kind == CHUNK:
            session.push(data)
        elif kind == LOST:
            session.lose(data)
        else:
            session.sound(data[0])
    session.finish()
    return session.count


class _Session:
    def __init__(self, material: Material, codec: str) -> None:
        self.count = Count()
        self._codec = codec
        self._sound, self._last_sound = material.sound[codec]
        self._decoder = StreamDecoder(codec_of_format(codec))
        self._assembler: Assembler[int] = Assembler(self._decoder.codec)
        self._number = 0
        self._expected: dict[int, str] = {}  # digests of the sound packets' frames, by number
        self._right: set[int] = set()  # numbers of those that came out right

    def decode(self, data: bytes, expected: str = "", must: bool = False) -> None:
        """Do with a packet what the node's pipeline does; ``must`` it be decoded?"""
        self._number += 1
        if expected:
            self._expected[self._number] = expected
        self.count.packets += 1
        with self._watched():
            try:
                data = annexb_payload(self._codec, data)
                frames = self._decoder.decode(data, self._number)
                inspect_packet(self._codec, data)
            except CodecError as error:
                if len(str(error)) > 500:
                    raise Finding("long text", str(error)[:100]) from error
                if must:
                    raise Finding("sound packet refused", str(error)) from error
                self.count.refused += bool(expected)
                self.count.errors += 1
                if not self._decoder.fault:  # else it has broken the chain itself
                    self._decoder.lose(str(error))
                frames = []
        self._take(frames)

    def push(self, data: bytes) -> None:
        """Take a piece of a byte stream, as the node does with ``parse``."""
        with self._watched():
            units = self._assembler.push(data, self._number)
        for unit, _ in units:
            self.decode(unit)

    def lose(self, data: bytes) -> None:
        """Lose a packet to an overflow; its headers are kept."""
        with self._watched():
            try:
                headers = headers_of(self._codec, annexb_payload(self._codec, data))
            except CodecError:
                headers = b""
            self._decoder.lose("the queue overflowed", headers)

    def sound(self, count: int) -> None:
        """Decode a sound key frame and some frames after it."""
        for at, (packet, expected) in enumerate(self._sound[:count]):
            self.decode(packet, expected, self._must(at))

    def _must(self, at: int) -> bool:
        """Tell whether a sound packet has to be decoded, by where it stands behind the damage.

        Damage to MPEG-4 that nobody can notice may bring FFmpeg to expect an encoder that pads its
        pictures wrongly; it finds out by a sound one, which it refuses.
        """
        return self._codec == "h264" or at == 0 or at >= GOP

    def finish(self) -> None:
        """See the decoder come back for good."""
        for unit, _ in self._assembler.flush():
            self.decode(unit)
        first = self._number + 1
        for at, (packet, expected) in enumerate(self._last_sound):
            self.decode(packet, expected, self._must(at))
        self._take(self._decoder.flush())
        missing = {first + at for at in range(LAST_SOUND) if self._must(at)} - self._right
        if missing:
            raise Finding(
                "not back",
                f"{len(missing)} of {LAST_SOUND} sound frames missing after a fault, the first is "
                f"number {min(missing) - first}; {self._decoder.fault}",
            )

    def _take(self, frames: list[CodedFrame]) -> None:
        for frame in frames:
            self.count.frames += 1
            self.count.intact += frame.intact
            found = digest(frame)
            expected = self._expected.get(frame.pts or 0)
            if expected is None or not frame.intact:
                continue
            if found != expected:
                raise Finding("wrong picture", f"a sound {frame.kind.value} picture is wrong")
            self._right.add(frame.pts or 0)
            self.count.recoveries += frame.key

    def _watched(self) -> "_Watch":
        return _Watch(self.count)


class _Watch:
    """Has the process killed by SIGPROF when a packet takes too long; keeps the longest time."""

    def __init__(self, count: Count) -> None:
        self._count = count

    def __enter__(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
        self._started = time.process_time()

    def __exit__(self, *error: object) -> None:
        took_ms = round((time.process_time() - self._started) * 1e3, 1)
        signal.setitimer(signal.ITIMER_PROF, 0)
        self._count.slowest_ms = max(self._count.slowest_ms, took_ms)


def rss_mb() -> float:
    """Return the memory this process has, after a look for garbage."""
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * 4096 / 1e6
