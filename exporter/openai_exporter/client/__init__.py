# SPDX-License-Identifier: Apache-2.0
"""Everything that speaks to an API over the network; decides nothing about what an answer means."""
