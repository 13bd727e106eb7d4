# SPDX-License-Identifier: Apache-2.0
"""Bodies of the requests that change limits, decoded strictly. Changes nothing."""

from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from typing import Any

from openai_exporter.simulator.errors import ApiError, invalid_type, invalid_value, missing_parameter
from openai_exporter.simulator.organization.settings import RateLimit, SpendAlert

_MONEY = ("threshold_amount", "currency", "interval")
_RATE_LIMITS = tuple(entry.name for entry in fields(RateLimit) if entry.name not in ("id", "model"))


def limit_body(body: Any) -> int:
    """The cents of a spend limit; raises the API's 400."""
    return _cents(_members(body, _MONEY, _MONEY), least=1)


def alert_body(body: Any, alert_id: str) -> SpendAlert:
    """A spend alert; raises the API's 400."""
    names = (*_MONEY, "notification_channel")
    values = _members(body, names, names)
    channel = _members(
        values["notification_channel"],
        ("type", "recipients", "subject_prefix"),
        ("type", "recipients"),
        "notification_channel.",
    )
    _constant(channel, "type", "email", "notification_channel.")
    recipients, prefix = channel["recipients"], channel.get("subject_prefix")
    if not isinstance(recipients, list) or not all(isinstance(address, str) for address in recipients):
        raise invalid_type("notification_channel.recipients", "an array of strings", recipients)
    if prefix is not None and not isinstance(prefix, str):
        raise invalid_type("notification_channel.subject_prefix", "a string", prefix)
    return SpendAlert(alert_id, _cents(values, least=0), tuple(recipients), prefix)


def rate_limit_body(body: Any, old: RateLimit) -> RateLimit:
    """`old` with the limits of the body changed; raises the API's 400."""
    values = _members(body, _RATE_LIMITS, ())
    for name in values:
        _whole(values, name, least=0)
    return replace(old, **values)


def _members(body: Any, known: Collection[str], required: Collection[str], place: str = "") -> dict[str, Any]:
    if not isinstance(body, dict):
        raise invalid_type(place.rstrip(".") or "body", "an object", body)
    for name in body:
        if name not in known:
            named = f"{place}{name}"
            raise ApiError(400, f"Unknown parameter: '{named}'.", param=named, code="unknown_parameter")
    for name in required:
        if name not in body:
            raise missing_parameter(f"{place}{name}")
    return body


def _cents(values: Mapping[str, Any], least: int) -> int:
    _constant(values, "currency", "USD")
    _constant(values, "interval", "month")
    return _whole(values, "threshold_amount", least)


def _whole(values: Mapping[str, Any], name: str, least: int) -> int:
    number = values[name]
    if isinstance(number, bool) or not isinstance(number, int):
        raise invalid_type(name, "an integer", number)
    if number < least:
        raise invalid_value(name, number, f"{least} or more")
    return number


def _constant(values: Mapping[str, Any], name: str, expected: str, place: str = "") -> None:
    if values[name] != expected:
        raise invalid_value(f"{place}{name}", values[name], repr(expected))
