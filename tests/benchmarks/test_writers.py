"""Real commands that write one output at the same time."""

import pytest

from benchmarks import kill_events, writers


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("writers")
    kill_events.preload()
    for keep in (1, 2):
        kill_events.write_data(folder / f"data{keep}", keep)
    return folder


@pytest.mark.endurance
@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("count", [2, 12])
@pytest.mark.parametrize("stage", writers.STAGES)
def test_writers_of_one_output_do_not_disturb_each_other(work, stage, count, same):
    assert writers.faults(kill_events.CASES[stage], work, count, rounds=2, same=same) == []
