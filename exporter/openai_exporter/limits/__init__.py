# SPDX-License-Identifier: Apache-2.0
"""Limits that are set at the API, as they are and as somebody wants them: the only package that can change anything."""
