# SPDX-License-Identifier: Apache-2.0
"""A provider's public status page as metrics."""
