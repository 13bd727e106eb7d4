// SPDX-License-Identifier: Apache-2.0
// Whether an increase over an hour says what was used in that hour. After a gap (no exporter, or an API that answered
// no usage) counters catch up at once, and hours of use look like one.
local duration = import 'duration.libsonnet';
local series = import 'series.libsonnet';
local text = import 'text.libsonnet';

// Share of the last hour in which figures were fresh.
local share = 0.9;

{
  // A condition by job and organization.
  usage(config):: text.fill('avg_over_time(%s[%s]) > %s', [series.usageFresh, duration.scaled(config, '1h'), text.number(share)]),
}
