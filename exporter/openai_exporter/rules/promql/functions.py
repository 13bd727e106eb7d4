# SPDX-License-Identifier: Apache-2.0
"""The functions and aggregations that Prometheus 2.42 and 3 both know without a feature flag."""

from collections.abc import Mapping
from dataclasses import dataclass

SCALAR, VECTOR, MATRIX, STRING = "scalar", "instant vector", "range vector", "string"

AGGREGATIONS: Mapping[str, str | None] = {
    **dict.fromkeys(("sum", "avg", "count", "min", "max", "group", "stddev", "stdvar"), None),
    **dict.fromkeys(("topk", "bottomk", "quantile"), SCALAR),
    "count_values": STRING,
}
"""Name -> type of the parameter before the vector, None when there is none."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Types of the arguments; `optional` of the last ones may be left out, with `repeats` the last may come again."""

    arguments: tuple[str, ...]
    returns: str = VECTOR
    optional: int = 0
    repeats: bool = False


_OVER_TIME = (
    "absent_over_time avg_over_time changes count_over_time delta deriv idelta increase irate last_over_time "
    "max_over_time min_over_time present_over_time rate resets stddev_over_time stdvar_over_time sum_over_time"
)
_OF_VECTOR = (
    "abs absent acos acosh asin asinh atan atanh ceil cos cosh deg exp floor histogram_count histogram_sum ln log10 "
    "log2 rad sgn sin sinh sort sort_desc sqrt tan tanh timestamp"
)
_OF_TIME = "day_of_month day_of_week day_of_year days_in_month hour minute month year"

FUNCTIONS: Mapping[str, Signature] = {
    **{name: Signature((MATRIX,)) for name in _OVER_TIME.split()},
    **{name: Signature((VECTOR,)) for name in _OF_VECTOR.split()},
    **{name: Signature((VECTOR,), optional=1) for name in _OF_TIME.split()},
    "clamp": Signature((VECTOR, SCALAR, SCALAR)),
    "clamp_max": Signature((VECTOR, SCALAR)),
    "clamp_min": Signature((VECTOR, SCALAR)),
    "histogram_fraction": Signature((SCALAR, SCALAR, VECTOR)),
    "histogram_quantile": Signature((SCALAR, VECTOR)),
    "label_join": Signature((VECTOR, STRING, STRING, STRING), optional=1, repeats=True),
    "label_replace": Signature((VECTOR, STRING, STRING, STRING, STRING)),
    "pi": Signature((), SCALAR),
    "predict_linear": Signature((MATRIX, SCALAR)),
    "quantile_over_time": Signature((SCALAR, MATRIX)),
    "round": Signature((VECTOR, SCALAR), optional=1),
    "scalar": Signature((VECTOR,), SCALAR),
    "time": Signature((), SCALAR),
    "vector": Signature((SCALAR,)),
}
