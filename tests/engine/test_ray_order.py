"""In which order frames go to an actor and come from it: without a cluster."""

from __future__ import annotations

import socket
import threading

from hypothesis import given
from hypothesis import strategies as st

from generation.engine.frames import LENGTH, Done, encode
from generation.engine.protocol import Painted, Picture
from generation.engine.ray_actor import InOrder
from generation.engine.worker import Worker


@given(st.permutations(range(8)))
def test_each_frame_is_given_out_as_soon_as_all_before_it_have_come(arriving: list[int]) -> None:
    order, come, given_out = InOrder(), set[int](), list[int]()
    for number in arriving:
        come.add(number)
        given_out += (frame[0] for frame in order.take(number, bytes([number])))
        assert given_out == list(range(next(first for first in range(9) if first not in come)))


def test_the_end_is_said_behind_a_frame_that_another_thread_is_sending() -> None:
    picture = Picture(png=bytes(8 << 20), width=64, height=64)
    done = Done(number=1, painted=Painted(pictures=(picture,), seconds=1.0))
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb") as reader:
        worker = Worker(theirs, "")
        speaking = threading.Thread(target=worker._send, args=(done,))
        speaking.start()
        assert ours.recv(1, socket.MSG_PEEK)  # it has begun, and comes to its end only when it is read
        ending = threading.Thread(target=worker.say_no_more)
        ending.start()
        # All of it, in whatever order: a worker that cannot speak to its end ends its process.
        said = reader.read(len(encode(done)) + LENGTH.size)
        speaking.join()
        ending.join()
    assert said == encode(done) + LENGTH.pack(0)
