"""Jobs in turns: what they share is called once, and none depends on another."""

import threading
import time

import pytest

from bestreply.utils.turns import clock, job_count, meet, run_in_turns

CALLS = []


@pytest.fixture(autouse=True)
def _no_calls():
    CALLS.clear()


def total(values):
    CALLS.append(list(values))
    return [sum(values)] * len(values)


def refusing(values):
    raise ValueError("refused")


def test_jobs_meet_at_one_call_and_a_job_alone_makes_its_own():
    order = []

    def job(number):
        order.append(number)
        first = meet(total, number)
        order.append(number)
        return first, meet(total, 10 * number), job_count()

    jobs = [lambda number=number: job(number) for number in (1, 2, 3)]
    assert run_in_turns(jobs) == [(6, 60, 3)] * 3
    assert CALLS == [[1, 2, 3], [10, 20, 30]] and order == [1, 2, 3] * 2
    assert job(7) == (7, 70, 1)


def test_jobs_that_end_early_or_meet_elsewhere_hold_up_nobody():
    def other(values):
        return [-value for value in values]

    def job(number):
        if number == 1:
            return 1
        return meet(other if number == 2 else total, number)

    jobs = [lambda number=number: job(number) for number in (1, 2, 3, 4)]
    assert run_in_turns(jobs) == [1, -2, 7, 7]


def test_the_error_of_a_job_is_raised_after_the_others_ended():
    ended = []

    def fails():
        meet(total, 1)
        raise KeyError("lost")

    def works():
        meet(total, 2)
        ended.append(meet(total, 3))

    with pytest.raises(KeyError, match="lost"):
        run_in_turns([fails, works])
    assert ended == [3]


def test_the_error_of_a_shared_call_is_raised_in_every_job():
    def job():
        with pytest.raises(ValueError, match="refused"):
            meet(refusing, 1)
        return "went on"

    assert run_in_turns([job, job]) == ["went on"] * 2


def test_an_interrupt_lets_waiting_jobs_clean_up():
    cleaned = []

    def interrupts(values):
        raise KeyboardInterrupt

    def job(number):
        try:
            meet(interrupts, number)
        finally:
            cleaned.append(number)

    jobs = [lambda number=number: job(number) for number in (1, 2)]
    with pytest.raises(KeyboardInterrupt):
        run_in_turns(jobs)
    assert sorted(cleaned) == [1, 2] and threading.active_count() < 10


def test_the_clock_of_a_job_stands_while_others_have_their_turn():
    def job(seconds):
        begun = clock()
        time.sleep(seconds)
        meet(total, 1)
        return clock() - begun

    short, long = run_in_turns([lambda: job(0.0), lambda: job(0.2)])
    assert short < 0.1 < long
