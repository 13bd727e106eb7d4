# SPDX-License-Identifier: Apache-2.0
"""Which organization a person means, and the client of its API."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from openai_exporter.client.organization import OrganizationClient
from openai_exporter.client.session import Network
from openai_exporter.config import Config
from openai_exporter.config.organization import Organization
from openai_exporter.errors import StartError


def chosen(config: Config, name: str | None) -> Organization:
    """The organization of that name; it may be left out when there is one.

    Raises:
        StartError: none is configured, or the name is unknown or missing.
    """
    names = [each.name for each in config.organizations]
    if not names:
        raise StartError(
            "no organization is configured; set OPENAI_ADMIN_KEY, or add one under `organizations:`"
        )
    if name is None and len(names) == 1:
        return config.organizations[0]
    found = config.organization(name) if name else None
    if found is None:
        said = f"unknown organization {name!r}" if name else "several organizations are configured"
        raise StartError(f"{said}; give --organization with one of: {', '.join(names)}")
    return found


@contextmanager
def opened(
    config: Config, organization: Organization, proxies: Mapping[str, str]
) -> Iterator[OrganizationClient]:
    """A client of the organization's API, closed at the end."""
    client = OrganizationClient(
        organization.base_url,
        config.organization_credential(organization.name),
        organization.timeout,
        Network(proxies),
    )
    try:
        yield client
    finally:
        client.close()
