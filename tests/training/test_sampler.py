"""The order of the data is a function of seed and epoch, and processes share out each step."""

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
