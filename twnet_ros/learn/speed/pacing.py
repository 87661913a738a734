"""One stream through the engine, as a benchmark times it."""

import queue
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from twnet_ros.codec import CodedFrame, Packet, StreamDecoder
from twnet_ros.segment import Segmentation, Segmenter

DECODED_LIMIT = 2  # frames that wait for the network, as in the node


def decoded(packets: Iterable[Packet], codec: str) -> Iterator[CodedFrame]:
    """The stream's frames; the number of its packet is a frame's timestamp."""
    decoder = StreamDecoder(codec)
    for number, packet in enumerate(packets):
        yield from decoder.decode(packet.data, number)
    yield from decoder.flush()


def one_by_one(
    packets: Sequence[Packet],
    codec: str,
    segmenter: Segmenter,
    take: Callable[[Segmentation], None],
) -> float:
    """Decode and label packet after packet; return the seconds it took."""
    segmenter.reset()
    start = time.perf_counter()
    for frame in decoded(packets, codec):
        for result in segmenter.step(frame):
            take(result)
    for result in segmenter.flush():
        take(result)
    return time.perf_counter() - start


def overlapped(
    packets: Sequence[Packet], codec: str, segmenter: Segmenter, period_s: float = 0.0
) -> tuple[list[float], float]:
    """Decode on a thread of its own, ahead of the network, as the node does.

    A packet arrives every ``period_s`` and waits for its turn; without a period all are there at
    the start. Returns for each labelled frame the seconds from its packet's arrival to its
    labels, and the seconds it all took.
    """
    segmenter.reset()
    ready: queue.Queue[CodedFrame | None] = queue.Queue(DECODED_LIMIT)
    start = time.perf_counter()

    def arriving() -> Iterator[Packet]:
        for number, packet in enumerate(packets):
            if (ahead := start + number * period_s - time.perf_counter()) > 0:
                time.sleep(ahead)
            yield packet

    def decode() -> None:
        try:
            for frame in decoded(arriving(), codec):
                ready.put(frame)
        finally:
            ready.put(None)

    latencies = []

    def take(results: Sequence[Segmentation]) -> None:
        for result in results:
            arrival = start + (result.pts or 0) * period_s
            latencies.append(time.perf_counter() - arrival)

    with ThreadPoolExecutor(1, "decode") as pool:
        decoding = pool.submit(decode)
        try:
            while (frame := ready.get()) is not None:
                take(segmenter.step(frame))
            take(segmenter.flush())
        except BaseException:
            while ready.get() is not None:  # the other thread waits for room
                pass
            raise
        decoding.result()
    return latencies, time.perf_counter() - start
