"""How many pairs of each row to build: the shares of the paper, within the sizes that the user asks for."""

import math
from collections.abc import Mapping, Sequence

from turnpoint.errors import ConfigError
from turnpoint.pairs.forks import BUILDERS
from turnpoint.pairs.rows import ROWS

TYPES = (1, 2, 3)  # query types


def row_quotas(
    *, easy: int | None, hard: int | None, beyond: int | None = None, types: Sequence[float] | None = None
) -> dict[str, int] | None:
    """Most pairs of each row of the table, by its name, and of each kind beyond it.

    Args:
        easy: pairs of the easy set; None takes none of it where another set has a number.
        hard: pairs of the hard set; likewise.
        beyond: pairs beyond the table; likewise.
        types: weights of query types 1, 2 and 3 within a set; None keeps the paper's proportion.

    Returns:
        Quotas that add up to the sizes; None where no size is given: all pairs.

    Raises:
        ConfigError: a size or a weight is negative, or no weight is positive.
    """
    sizes = {"easy": easy, "hard": hard, "beyond": beyond}
    for name, size in sizes.items():
        if size is not None and size < 0:
            raise ConfigError(f"{name}: must be a number of pairs from 0 (got {size})")
    fair = types is None or (len(types) == len(TYPES) and all(0 <= each < math.inf for each in types))
    if types is not None and not (fair and sum(types) > 0):
        raise ConfigError(
            f"types: must be three weights from 0, of query types 1, 2 and 3, one of them positive (got {list(types)})"
        )
    if all(size is None for size in sizes.values()):
        if types is not None:
            raise ConfigError("types: weighs the types within a set; say how many pairs of it (easy, hard)")
        return None
    quotas: dict[str, int] = {}
    for name in ("easy", "hard"):
        shares = _shares(name, types)
        if sizes[name] and not sum(shares.values()):
            raise ConfigError(f"types: leaves nothing of the {name} set, which has no query type 3 (got {types})")
        quotas |= apportioned(shares, sizes[name] or 0)
    return quotas | apportioned(dict.fromkeys(BUILDERS, 1), beyond or 0)


def apportioned(shares: Mapping[str, float], size: int) -> dict[str, int]:
    """Whole numbers that add up to `size`, as near to the shares as can be (largest remainders)."""
    total = sum(shares.values())
    if not total:
        return dict.fromkeys(shares, 0)
    exact = {name: size * share / total for name, share in shares.items()}
    parts = {name: int(part) for name, part in exact.items()}
    by_remainder = sorted(exact, key=lambda name: parts[name] - exact[name])
    for name in by_remainder[: size - sum(parts.values())]:
        parts[name] += 1
    return parts


def _shares(set: str, types: Sequence[float] | None) -> dict[str, float]:
    """Shares of the rows of a set: those of the paper, or within each query type those of the paper."""
    rows = [row for row in ROWS if row.set == set]
    if types is None:
        return {row.name: row.share for row in rows}
    of_type = {kind: sum(row.share for row in rows if row.query_type == kind) for kind in TYPES}
    return {row.name: row.share * types[row.query_type - 1] / of_type[row.query_type] for row in rows}
