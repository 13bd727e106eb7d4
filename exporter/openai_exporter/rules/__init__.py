# SPDX-License-Identifier: Apache-2.0
"""The user's rules: thresholds.yml and raw rule files, compiled to one Prometheus rule file."""
