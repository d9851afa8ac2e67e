"""One layer's attention over a token tree, in the ways there are: `python -m benchmarks.attention`.

A root and its branches, forward and backward, in bfloat16. On CPU: SDPA with the mask of the whole row, SDPA for each
sequence by itself, and the blocks of `turnpoint.tree.attention`. On CUDA FlexAttention takes the place of the blocks,
and FlashAttention of sequences beside each other (varlen) is added where it is installed. Sequences by themselves
compute the root once for each branch.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor
from torch.nn import functional

from turnpoint.tree import TokenTree, build_tree, tree_mask
from turnpoint.tree.attention import attention_blocks, tree_attention

TREES = ((245, 2, 38), (400, 2, 60), (250, 8, 40), (600, 2, 100), (1500, 2, 200), (6000, 2, 1000), (4000, 8, 500))
_ON_CPU = 5  # of the trees
_SECONDS = 3.0  # of each way

Ways = dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]]


def main() -> None:
    """Measure and print Markdown, milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=int, default=9)
    parser.add_argument("--shared", type=int, default=3, help="heads of keys and values")
    parser.add_argument("--size", type=int, default=64, help="of a head")
    given = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    shown = False
    for root, branches, length in TREES if device.type == "cuda" else TREES[:_ON_CPU]:
        trunk = list(range(root))
        sequences = [[*trunk, root + branch, *range(length - 1)] for branch in range(branches)]
        tree = build_tree(sequences)
        torch.manual_seed(0)
        query, key, value = (
            torch.randn(1, count, len(tree.input_ids), given.size, device=device, dtype=torch.bfloat16)
            for count in (given.heads, given.shared, given.shared)
        )
        ways = _ways(tree, device)
        if not shown:
            print(f"| nodes | {' | '.join(ways)} |\n|---|{'---:|' * len(ways)}")
            shown = True
        times = [_milliseconds(way, query, key, value) for way in ways.values()]
        print(f"| {root} + {branches} x {length} | {' | '.join(f'{each:.1f}' for each in times)} |", flush=True)


def _ways(tree: TokenTree, device: torch.device) -> Ways:
    mask = tree_mask(torch.from_numpy(tree.subtree_end).to(device))
    paths = [torch.from_numpy(path).to(device) for path in tree.paths]
    blocks = attention_blocks(tree)

    def whole(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(query, key, value, mask, enable_gqa=True)

    def each(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        parts = (
            functional.scaled_dot_product_attention(
                query[:, :, path], key[:, :, path], value[:, :, path], is_causal=True, enable_gqa=True
            )
            for path in paths
        )
        return torch.cat(list(parts), 2)

    def by_blocks(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return tree_attention(query[0], key[0], value[0], blocks, query.shape[-1] ** -0.5)

    ways: Ways = {"SDPA, mask": whole, "SDPA, each sequence": each}
    if device.type == "cpu":
        return ways | {"blocks": by_blocks}
    ways["FlexAttention"] = _flex(tree, device)
    if find_spec("flash_attn"):
        ways["FlashAttention, varlen"] = _flash(paths)
    return ways


def _flex(tree: TokenTree, device: torch.device) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    ends = torch.from_numpy(tree.subtree_end).to(device)
    mask = create_block_mask(
        lambda batch, head, query, key: (key <= query) & (query < ends[key]), None, None, len(ends), len(ends), device
    )
    compiled = torch.compile(flex_attention)

    def run(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        attended: Tensor = compiled(query, key, value, block_mask=mask, enable_gqa=True)
        return attended

    return run


def _flash(paths: list[Tensor]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    from flash_attn import flash_attn_varlen_func  # type: ignore[import-not-found]

    lengths = torch.tensor([len(path) for path in paths])
    starts = functional.pad(lengths.cumsum(0), (1, 0)).to(torch.int32).cuda()
    together, longest = torch.cat(paths), int(lengths.amax())

    def run(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        beside = (each[0, :, together].transpose(0, 1) for each in (query, key, value))
        attended: Tensor = flash_attn_varlen_func(*beside, starts, starts, longest, longest, causal=True)
        return attended

    return run


def _milliseconds(way: Callable[[Tensor, Tensor, Tensor], Tensor], *inputs: Tensor) -> float:
    """Median of a forward and a backward pass, the first of which warms up."""
    leaves = [each.clone().requires_grad_() for each in inputs]
    spent: list[float] = []
    end = time.perf_counter() + _SECONDS
    while len(spent) < 3 or time.perf_counter() < end:
        start = _now()
        attended = way(*leaves)
        torch.autograd.grad(attended, leaves, torch.ones_like(attended))
        spent.append(_now() - start)
    return 1000 * statistics.median(spent[1:])


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    main()
