# SPDX-License-Identifier: Apache-2.0
"""Whether a PromQL expression is one that Prometheus 2.42 and 3 both accept, for machines without promtool.

It reads the whole grammar and checks types, as a rule file with one bad expression keeps Prometheus from starting.
"""

from openai_exporter.rules.promql.parser import check
from openai_exporter.rules.promql.tokens import PromQLError

__all__ = ["PromQLError", "check"]
