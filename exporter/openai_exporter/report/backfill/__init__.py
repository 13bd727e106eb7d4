# SPDX-License-Identifier: Apache-2.0
"""The past of an organization as OpenMetrics with times, for `promtool tsdb create-blocks-from openmetrics`."""
