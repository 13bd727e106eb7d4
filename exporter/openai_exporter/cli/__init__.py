# SPDX-License-Identifier: Apache-2.0
"""The command line: the only package that reads arguments and the environment, and ends the process."""
