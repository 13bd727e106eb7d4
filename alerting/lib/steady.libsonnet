// SPDX-License-Identifier: Apache-2.0
// Whether an increase over an hour says what was used in that hour. After a gap (no exporter, or an API that answered
// no usage) counters catch up at once, and hours of use look like one.
local duration = import 'duration.libsonnet';
local series = import 'series.libsonnet';
local text = import 'text.libsonnet';

// Share of the last hour in which figures were fresh.
local share = 0.9;

{
  // What a usage counter grew by in a window, by series: of those that were there before it, or began at 0 in it. The first
  // value of another is what was used before. VictoriaMetrics' increase() would count it as usage of the window.
  increase(counter, window):: text.fill(|||
    increase(%(counter)s[%(window)s]) and (
      present_over_time(%(counter)s[%(window)s] offset %(window)s)
      or
      min_over_time(%(counter)s[%(window)s]) == 0
    )
  |||, { counter: counter, window: window }),
  // A condition by job and organization.
  usage(config):: text.fill('avg_over_time(%s[%s]) > %s', [series.usageFresh, duration.scaled(config, '1h'), text.number(share)]),
}
