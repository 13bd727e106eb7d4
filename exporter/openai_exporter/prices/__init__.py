# SPDX-License-Identifier: Apache-2.0
"""Prices: one judgement of money for probes, usage, budgets, drift and reports."""

from openai_exporter.prices.listed import PICO, Situation
from openai_exporter.prices.table import PriceTable, call_cost, price_table, request_cost

__all__ = ["PICO", "PriceTable", "Situation", "call_cost", "price_table", "request_cost"]
