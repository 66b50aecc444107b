"""Damaged inputs: no crash, nothing written outside the output folder, each one counted with its reason."""

from benchmarks import damaged


def test_300_damaged_inputs(tmp_path):
    found = damaged.export_damaged(tmp_path / "work", 300, seed=1)
    assert found.wrong == []
    assert found.outside == []
    assert found.kept == len(damaged.STRANGE_IDS)
    assert sum(found.rejected.values()) == 600 - found.kept
    first = (tmp_path / "work/out/base/rejected.csv").read_bytes()
    damaged.export_damaged(tmp_path / "work", 300, seed=1)
    assert (tmp_path / "work/out/base/rejected.csv").read_bytes() == first
    assert {"truncated_audio", "unreadable_audio", "too_long", "not_finite", "channels"} <= set(found.rejected)
