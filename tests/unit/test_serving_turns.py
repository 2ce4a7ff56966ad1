"""Turns on the event loop, by a clock that the work itself moves."""

import asyncio

import pytest

from serving.scores.turns import Turns, finished


class Clock:
    """Stands still unless work is done."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def work(done, name, clock, pieces=1, seconds=0.01):
    """Pieces of work, each of some seconds; ``done`` is told the name of each."""
    for piece in range(pieces):
        if piece:
            yield
        clock.now += seconds
        done.append(name)
    return name.encode()


async def gathered(turns, *works):
    return await asyncio.gather(*(turns.through(one) for one in works))


def test_pieces_of_long_work_and_short_work_take_turns():
    done, clock = [], Clock()
    turns = Turns(1.0, clock)
    works = [work(done, "long", clock, 3), work(done, "a", clock), work(done, "b", clock)]
    assert asyncio.run(gathered(turns, *works)) == [b"long", b"a", b"b"]
    assert done == ["long", "a", "b", "long", "long"]


def test_between_two_turns_the_loop_comes_round_more_than_once_while_others_wait():
    done, clock = [], Clock()
    turns, rounds = Turns(1.0, clock), []

    async def others():
        while True:
            rounds.append(len(done))
            await asyncio.sleep(0)

    async def both():
        beside = asyncio.ensure_future(others())
        await gathered(turns, *(work(done, str(n), clock) for n in range(5)))
        beside.cancel()

    asyncio.run(both())
    assert all(rounds.count(number) >= 2 for number in range(1, 4))


def test_many_at_once_may_wait_four_times_the_patience_and_who_comes_after_them_only_once():
    """Turns of 10 ms and a patience of 50 ms: of forty at once 21 are taken; then nobody, until five are left."""
    clock, taken, refused, seen = Clock(), [], [], []
    turns = Turns(0.05, clock)

    async def one():
        if turns.full:
            refused.append(clock.now)
        else:
            taken.append(clock.now)
            await turns.through(work([], "", clock))

    async def walk():
        await gathered(turns, *(work([], "", clock) for _ in range(200)))  # it learns that a turn takes 10 ms
        assert not turns.full
        crowd, began = [asyncio.ensure_future(one()) for _ in range(40)], clock.now
        while not all(one.done() for one in crowd):
            await asyncio.sleep(0)
            seen.append((round(100 * (clock.now - began)), turns.full))

    asyncio.run(walk())
    assert (len(taken), len(refused)) == (21, 19)
    turned_away = {done for done, full in seen if full}
    assert turned_away == {0, *range(6, 16)}


def test_a_crowd_that_never_ends_waits_no_longer_than_the_patience():
    """Turns of 2 ms, one comes each ms: half are refused, an accepted one waits little more than 50 ms."""
    clock, waits, refused = Clock(), [], []
    turns = Turns(0.05, clock)

    async def one(came):
        if turns.full:
            refused.append(came)
        else:
            await turns.through(work([], "", clock, seconds=0.002))
            waits.append((came, clock.now - came))

    async def walk():
        async with asyncio.TaskGroup() as tasks:
            for number in range(8_000):
                while clock.now < number / 1_000:
                    await asyncio.sleep(0)
                tasks.create_task(one(number / 1_000))

    asyncio.run(walk())
    assert 0.4 < len(refused) / 8_000 < 0.6
    assert max(wait for came, wait in waits if came > 0.5) <= 0.06
    assert max(wait for _, wait in waits) <= 0.2


def test_a_pause_of_the_machine_does_not_turn_the_next_ones_away():
    done, clock, seen = [], Clock(), []
    turns = Turns(0.05, clock)

    async def walk():
        await gathered(turns, *(work(done, "", clock, seconds=0.001) for _ in range(100)))
        await gathered(turns, work(done, "pause", clock, seconds=5.0))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(gathered(turns, *(work(done, "", clock, seconds=0.001) for _ in range(130))))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            seen.append(turns.full)

    asyncio.run(walk())
    assert seen == [False]


def test_a_refusal_and_a_caller_who_left_give_the_turn_back():
    clock, done = Clock(), []
    turns = Turns(1.0, clock)

    def refusing():
        yield
        raise ValueError("no")

    async def walk():
        with pytest.raises(ValueError):
            await turns.through(refusing())
        left = asyncio.ensure_future(turns.through(work(done, "left", clock)))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        return await asyncio.wait_for(turns.through(work(done, "next", clock)), 5)

    assert asyncio.run(walk()) == b"next"
    assert done == ["next"]


def test_finished_is_the_same_without_turns():
    done, clock = [], Clock()
    assert finished(work(done, "x", clock, 4)) == b"x"
    assert len(done) == 4
