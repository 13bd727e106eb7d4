# SPDX-License-Identifier: Apache-2.0
"""The simulated organization: usage, costs, directory and limits under /v1/organization."""
