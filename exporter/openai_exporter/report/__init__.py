# SPDX-License-Identifier: Apache-2.0
"""What an organization used and paid over days and months: reports, JSON and history for Prometheus."""
