"""The order of the data is a function of seed and epoch, and processes share out each step."""

import numpy as np

from turnpoint.training.sampler import StepSampler


def test_every_item_once_an_epoch_in_another_order() -> None:
    epoch = 0
    sampler = StepSampler(10, 4, seed=1, epoch=lambda: epoch)
    first = list(sampler)
    assert [len(step) for step in first] == [4, 4, 2]
    assert sorted(i for step in first for i in step) == list(range(10))
    assert list(sampler) == first
    epoch = 1
    assert list(sampler) != first


def test_processes_share_out_the_steps_of_one() -> None:
    """Nine items, four a step: the third step holds one item, and two of three processes get none of it."""
    whole = list(StepSampler(9, 4, seed=1))
    shares = [list(StepSampler(9, 4, seed=1, rank=rank, processes=3)) for rank in range(3)]
    for number, step in enumerate(whole):
        assert sorted(i for share in shares for i in share[number]) == sorted(step)
    assert [len(share[2]) for share in shares] == [1, 0, 0]


def test_without_a_seed_the_order_is_that_of_the_data() -> None:
    assert list(StepSampler(5, 2)) == [[0, 1], [2, 3], [4]]
    assert list(StepSampler(5, 2, drop_last=True)) == [[0, 1], [2, 3]]
    assert len(StepSampler(4, 2)) == 2


def test_items_of_a_group_stay_together_and_groups_are_shuffled() -> None:
    groups = np.array([7, 2, 7, 9, 2, 11, 7])
    assert list(StepSampler(7, 3, groups=groups)) == [[0, 2, 6], [1, 4, 3], [5]]
    orders = {tuple(i for step in StepSampler(7, 3, groups=groups, seed=seed) for i in step) for seed in range(20)}
    assert len(orders) > 5
    for order in orders:
        assert sorted(order) == list(range(7))
        places = {group: [order.index(i) for i in members] for group, members in (("a", (0, 2, 6)), ("b", (1, 4)))}
        assert all(max(at) - min(at) == len(at) - 1 for at in places.values())


def test_a_process_gets_neighbours() -> None:
    shares = [list(StepSampler(8, 8, rank=rank, processes=2)) for rank in range(2)]
    assert shares == [[[0, 1, 2, 3]], [[4, 5, 6, 7]]]
