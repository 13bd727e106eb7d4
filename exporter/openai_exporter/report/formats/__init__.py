# SPDX-License-Identifier: Apache-2.0
"""The forms of a report: each module turns a report into text."""
