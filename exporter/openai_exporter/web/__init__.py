# SPDX-License-Identifier: Apache-2.0
"""The HTTP surface: routes, landing page, reload, TLS, limits. Decides nothing about probes or usage."""
