# SPDX-License-Identifier: Apache-2.0
"""Prices: one judgement of money for probes, usage, budgets, drift and reports."""
