"""Reflection behind the ends of utterances. tests/model/test_network.py compares whole networks with SpeechBrain's."""

import torch

from atc_asr.model.convolutions import reflect_ends


def test_reflected_ends_by_hand():
    x = torch.tensor([[1.0, 2, 3, 9, 9], [4, 5, 6, 7, 9], [1, 2, 3, 4, 5]])
    one = reflect_ends(x, torch.tensor([3, 4, 5]), 1)
    assert one.tolist() == [[1, 2, 3, 2, 9], [4, 5, 6, 7, 6], [1, 2, 3, 4, 5]]
    two = reflect_ends(x, torch.tensor([3, 4, 5]), 2)
    assert two.tolist() == [[1, 2, 3, 2, 1], [4, 5, 6, 7, 6], [1, 2, 3, 4, 5]]
