"""Threads ahead and behind: is the order kept, is the queue bounded, do errors arrive, and is no thread left?"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

import pytest
import torch

from clippan_models.pipeline import BackgroundWriter, prefetch, side_by_side


def our_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("clippan-")]


@pytest.mark.parametrize("workers", [1, 4])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    def slow_if_even(number: int) -> int:
        time.sleep(0.002 * (number % 2 == 0))
        return number

    with prefetch(slow_if_even, range(20), workers) as results:
        assert list(results) == list(range(20))
    assert not our_threads()


def test_only_a_few_items_are_taken_before_they_are_needed() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    with prefetch(lambda number: number, items(), 2) as results:
        for number in results:
            time.sleep(0.001)
            assert len(taken) <= number + 3
            if number == 5:
                break
    assert not our_threads()


def test_side_by_side_torch_has_one_thread_for_each_and_then_as_many_as_before() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with side_by_side(lambda number: (number, torch.get_num_threads()), range(6), 2) as results:
            assert list(results) == [(number, 1) for number in range(6)]
        assert torch.get_num_threads() == 3
        with side_by_side(lambda _: (threading.current_thread(), torch.get_num_threads()), range(2), 1) as results:
            assert list(results) == [(threading.main_thread(), 3)] * 2
    finally:
        torch.set_num_threads(before)
    assert not our_threads()


def test_work_goes_on_while_the_caller_is_busy() -> None:
    second = threading.Event()

    def work(number: int) -> int:
        if number == 1:
            second.set()
        return number

    with prefetch(work, range(5)) as results:
        next(results)
        assert second.wait(5)


def test_an_error_of_the_work_is_raised_at_its_place() -> None:
    def work(number: int) -> int:
        if number == 3:
            raise OSError("unreadable")
        return number

    seen = []
    with pytest.raises(OSError, match="unreadable"), prefetch(work, range(10), 2) as results:
        for number in results:
            seen.append(number)
    assert seen == [0, 1, 2] and not our_threads()


def test_an_error_of_the_caller_ends_the_threads() -> None:
    with pytest.raises(KeyboardInterrupt), prefetch(lambda number: number, range(1000), 3) as results:
        for number in results:
            if number == 4:
                raise KeyboardInterrupt
    assert not our_threads()


def test_everything_handed_over_is_written_in_order() -> None:
    written: list[int] = []

    def write(number: int) -> None:
        time.sleep(0.001)
        written.append(number)

    with BackgroundWriter(write) as writer:
        for number in range(30):
            writer.put(number)
            assert number - len(written) <= 3
    assert written == list(range(30)) and not our_threads()


@pytest.mark.parametrize("failing", [0, 2, 29])
def test_nothing_is_written_after_an_error_which_the_caller_is_told(failing: int) -> None:
    written: list[int] = []

    def write(number: int) -> None:
        if number == failing:
            raise OSError("disk full")
        written.append(number)

    with pytest.raises(OSError, match="disk full"), BackgroundWriter(write) as writer:
        for number in range(30):
            writer.put(number)
    assert written == list(range(failing)) and not our_threads()


def test_after_an_error_of_the_caller_what_waits_is_dropped() -> None:
    gate, written = threading.Event(), list[int]()

    def write(number: int) -> None:
        gate.wait(5)
        written.append(number)

    with pytest.raises(KeyboardInterrupt), BackgroundWriter(write) as writer:
        for number in range(3):
            writer.put(number)
        threading.Timer(0.05, gate.set).start()
        raise KeyboardInterrupt
    assert written == [0] and not our_threads()


def test_a_signal_does_not_cut_the_wait_for_the_thread_short() -> None:
    written: list[int] = []

    def write(number: int) -> None:
        time.sleep(0.3)
        written.append(number)

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt), BackgroundWriter(write) as writer:
            writer.put(1)
            threading.Timer(0.1, signal.raise_signal, (signal.SIGUSR1,)).start()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert written == [1] and not our_threads()
