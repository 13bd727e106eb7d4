# SPDX-License-Identifier: Apache-2.0
"""One probe per scrape: build a request, time it, judge the answer; openai is only imported at the first probe."""
