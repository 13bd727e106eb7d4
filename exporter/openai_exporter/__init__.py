# SPDX-License-Identifier: Apache-2.0
"""Prometheus exporter for the OpenAI API: probes, usage, costs, limits."""

__version__ = "0.1.0"
