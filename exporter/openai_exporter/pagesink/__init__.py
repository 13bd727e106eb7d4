# SPDX-License-Identifier: Apache-2.0
"""A receiver of pages for demos and tests: takes webhooks and mail, shows and keeps them. Sends nothing on."""
