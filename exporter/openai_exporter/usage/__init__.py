# SPDX-License-Identifier: Apache-2.0
"""An organization's usage, costs, names, limits and budgets: read from its API, turned into families."""
