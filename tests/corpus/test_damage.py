"""Export of damaged inputs: no crash, no file outside the output folder, every clip counted with its reason."""

from benchmarks import damaged


def test_300_damaged_inputs(tmp_path):
    found = damaged.export_damaged(tmp_path / "work", 300, seed=1)
    assert found.wrong == []
    assert found.outside == []
    assert found.accepted == len(damaged.UNSAFE_IDS)
    assert sum(found.rejected.values()) == 600 - found.accepted
    assert {"truncated_audio", "unreadable_audio", "too_long", "not_finite", "channels"} <= set(found.rejected)


def test_rejections_are_deterministic(tmp_path):
    lists = []
    for name in ("one", "two"):
        damaged.export_damaged(tmp_path / name, 34, seed=1)
        lists.append((tmp_path / name / "out/base/rejected.csv").read_bytes())
    assert lists[0] == lists[1]
