// SPDX-License-Identifier: Apache-2.0
// Panels of the exporter itself: whether its figures can be trusted, and what it costs to have them.
local series = import '../../alerting/lib/series.libsonnet';
local g = import '../lib/g.libsonnet';
local metric = import '../lib/metric.libsonnet';
local words = import '../lib/words.libsonnet';

local panel = g.panel;
local query = g.query;
local override = g.override;
local threshold = g.threshold;

function(config, promql)
  local own = promql.own;
  local organization = promql.organization;
  local exporter = metric.exporter;
  local refresh = metric.refresh;
  local tile(title, description, unit, expr) =
    panel.stat.new(title, description, unit, [query.instant(expr, std.asciiLower(title))]) + panel.withNoFigure(words.short.unknown);
  // The twelve datasets with the largest value at the end of the time range.
  local largest(expr, metricName) = '(%s)\nand on (dataset) topk(12, max by (dataset) (%s @ end()))' % [expr, organization(metricName)],
        lines(title, description, unit, expr, legend, noValue) =
    panel.timeSeries.new(title, description, unit, [query.range(expr, legend)])
    + panel.timeSeries.withFill(0)
    + panel.withNoValue(noValue);

  {
    // --- At a glance
    scraped:
      panel.stat.new('Targets up', 'Scrape targets of the exporter that answered their last scrape, of all.', 'percentunit', [query.instant(promql.upOf(own(metric.scrape.up)), '{{text}}')])
      + panel.withNoFigure(words.short.unknown)
      + panel.stat.withTextMode('name')
      + panel.withThresholds(threshold.falling(0.5, 1)),
    config:
      tile('Config', "Whether the last reload of the exporter's configuration succeeded; after a failed one the old configuration stays.", 'none', 'min(%s)' % own(exporter.config_last_reload_successful))
      + panel.withMappings([g.mapping.values({ '0': ['Reload failed', 'red'], '1': ['Loaded', 'green'] })]),
    loaded: tile('Reloaded', 'When the configuration was last loaded.', 'dateTimeFromNow', promql.date('max(%s)' % own(exporter.config_last_reload_success_timestamp_seconds))),
    version:
      panel.stat.new('Version', 'Version of the exporter.', 'string', [query.instant(promql.orWhy('max by (version) (%s)' % own(exporter.build_info), 'version', words.short.unknown), '{{version}}')])
      + panel.stat.withTextMode('name')
      + panel.withNoFigure(words.short.unknown),
    prices:
      panel.stat.new('Price list', 'Version of the list prices that estimates are made of.', 'string', [query.instant(promql.orWhy('max by (version) (%s)' % own(exporter.price_table_info), 'version', words.short.unknown), '{{version}}')])
      + panel.stat.withTextMode('name')
      + panel.withNoFigure(words.short.unknown),
    uptime: tile('Uptime', "Time since the exporter's process started.", 'dtdhms', 'time() - max(%s)' % own(metric.process.start_time_seconds)),

    // --- Freshness
    age:
      lines('Data age', 'Time since each dataset was last read successfully; the oldest of the chosen organizations.', 'm', largest('max by (dataset) (%s) / 60' % organization(series.dataAge), series.dataAge), '{{dataset}}', words.usage),
    buckets:
      lines('Age of the newest usage', 'Time since the start of the newest usage bucket with data, by usage endpoint. The API itself lags by minutes to an hour.', 'm', '(time() - max by (operation) (%s)) / 60' % organization(refresh.newest_bucket_timestamp_seconds), '{{operation}}', words.usage),
    up:
      panel.stateTimeline.new('Refresh status', 'Whether the last refresh of each dataset succeeded; after a failed one, the previous values stay.', 'none', [
        query.range(promql.orWhyAllTheTime('min by (organization, dataset) (%(up)s)\nand on (organization, dataset) bottomk(12, min by (organization, dataset) (min_over_time(%(up)s[$__range] @ end())))' % { up: organization(refresh.up) }, organization(refresh.up), 'organization', words.short.usage), '{{organization}} {{dataset}}'),
      ])
      + panel.withMappings([g.mapping.values({ '0': ['Fails', 'red'], '1': ['Succeeds', 'green'] })])
      + panel.withNoValue(words.usage),
    statusPage:
      panel.table.new('Status pages', "Whether each provider's status page could be read, and how long ago.", 's', [
        query.table(promql.orWhy('min by (status_page) (%s)' % own(metric.status.up), 'status_page', 'No status page')),
        query.table('time() - max by (status_page) (%s)' % own(metric.status.last_success_timestamp_seconds)),
      ])
      + panel.table.withColumns([['status_page', 'Status page'], ['Value #A', 'Read'], ['Value #B', 'Age']])
      + panel.withOverrides([override.byName('Read', [override.cell('color-text'), override.mappings([g.mapping.values({ '0': ['fails', 'red'], '1': ['succeeds', 'green'] })])])])
      + panel.withNoValue(words.status),

    // --- Calls
    calls:
      panel.timeSeries.bars('API calls', 'Calls to organization and status APIs in each step, those to the ten that are called most; they cost nothing but are rate-limited.', 'short', [
        query.range('sum by (api) (increase(%(calls)s[$__interval]))\nand on (api) topk(10, sum by (api) (%(calls)s @ end()))' % { calls: own(exporter.upstream_calls) }, '{{api}}'),
      ], '5m')
      + panel.timeSeries.withStacking
      + panel.withNoValue(words.usage),
    failures:
      panel.timeSeries.bars('Failed calls', 'Failed calls to organization and status APIs in each step, by API and reason; and refreshes whose state could not be written to the storage directory.', 'short', [
        query.range(promql.orNone('sum by (api, reason) (increase(%s[$__interval])) > 0' % own(exporter.upstream_failures), 'api', 'no failed calls', own(exporter.upstream_calls)), '{{api}} {{reason}}'),
        query.range('sum by (reason) (increase(%s[$__interval])) > 0' % organization(exporter.storage_failures), 'storage {{reason}}'),
      ], '5m')
      + panel.timeSeries.withStacking
      + panel.withShades('red')
      + panel.withOverrides([override.byRegexp('/^no failed calls/', [override.color('green')])])
      + panel.withNoValue(words.usage),
    refreshDuration: lines('Refresh duration', 'Time that the last read of each dataset took.', 's', largest('max by (dataset) (%s)' % organization(refresh.refresh_duration_seconds), refresh.refresh_duration_seconds), '{{dataset}}', words.usage),
    refreshCalls: lines('Calls per refresh', 'API calls that the last read of each dataset took.', 'short', largest('max by (dataset) (%s)' % organization(refresh.refresh_calls), refresh.refresh_calls), '{{dataset}}', words.usage),

    // --- What probing costs
    spend:
      panel.timeSeries.bars('Cost of probing', 'Estimated list price of the probes, by model, in each step.', 'currencyUSD', [
        query.range('sum by (model) (increase(%s[$__interval])) > 0' % promql.probe(metric.api.cost_usd, 'model!=""'), '{{model}}'),
      ])
      + panel.timeSeries.withStacking
      + panel.withDecimals(4)
      + panel.withNoValue(words.probes),
    spendDay:
      tile('Cost, 24 h', 'Estimated list price of the probes of the last 24 hours.', 'currencyUSD', 'sum(increase(%s[1d]))' % promql.probe(metric.api.cost_usd))
      + panel.withDecimals(2),
    perProbe: tile('Max. cost', 'Estimated list price of the most expensive single probe.', 'currencyUSD', 'max(%s)' % promql.probe(metric.probe.cost_usd))
              + panel.withDecimals(6),
    probeTokens: tile('Tokens', 'Tokens that probes spent in the last 24 hours, in and out.', 'short', 'sum(increase(%s[1d]))' % promql.probe(metric.api.tokens, 'direction=~"input|output"')),
    stopped:
      tile('Capped', 'Probes paused by the daily cost cap of their module until midnight UTC.', 'short', 'sum(%s)' % promql.probe(metric.probe.cost_limited))
      + panel.withThresholds(threshold.notice(1)),
    unpriced: tile('Unpriced', 'Probes of the last 24 hours whose model has no list price, so that no cost was counted.', 'short', 'round(sum(increase(%s[1d])))' % promql.probe(metric.api.unpriced))
              + panel.withThresholds(threshold.notice(1)),
    cached: tile('Cache hits', 'Ratio of the probe scrapes of the last 24 hours that got the cached result.', 'percentunit', |||
      sum(increase(%(cached)s[1d]))
      / (sum(increase(%(cached)s[1d])) + sum(increase(%(called)s[1d])))
    ||| % { cached: promql.probe(metric.api.cached_answers), called: promql.probe(metric.api.requests) }),

    // --- Scrapes
    scrapeDuration:
      local seconds(more) = own(metric.scrape.duration_seconds, more);
      panel.timeSeries.new('Slowest scrapes', "Duration of the exporter's slowest scrape targets. The scrape of a probe lasts as long as its response.", 's', [
        query.range('max by (%(by)s) (max_over_time(%(it)s[$__interval]))\nand on (%(by)s) topk(8, max by (%(by)s) (max_over_time(%(it)s[$__range] @ end())))' % {
          by: 'target, module, model',
          it: seconds('module!=""'),
        }, '{{target}} {{module}} {{model}}'),
        query.range('max(max_over_time(%s[$__interval]))' % seconds('module=""'), 'usage, status and own pages'),
      ])
      + panel.timeSeries.withFill(0)
      + panel.withNoValue(words.probes),
    scrapeSamples: lines('Samples by page', 'Samples of each scrape; usage grows with projects, keys and models.', 'short', |||
      sum by (page) (
        label_replace(
          label_replace(
            label_replace(%s, "page", "probes and metrics", "", ""),
            "page", "usage of $1", "organization", "(.+)"
          ),
          "page", "status page $1", "status_page", "(.+)"
        )
      )
    ||| % own(metric.scrape.samples), '{{page}}', words.probes),
    seriesCount:
      panel.table.new('Usage series', 'Series of each usage endpoint, those aggregated into `other` by series_limit, and what the API corrected downwards.', 'short', [
        query.table(promql.orWhy('max by (operation) (%s)' % organization(refresh.series), 'operation', words.short.usage)),
        query.table('max by (operation) (%s)' % organization(refresh.series_dropped)),
        query.table('sum by (operation) (%s)' % promql.one(organization(metric.usage.corrections))),
      ])
      + panel.table.withColumns([['operation', 'Usage endpoint'], ['Value #A', 'Series'], ['Value #B', 'In `other`'], ['Value #C', 'Corrections']])
      + panel.withOverrides([override.byName('Usage endpoint', [override.width(190)]), override.byName('In `other`', [override.cell('color-text'), override.thresholds(threshold.notice(1))])])
      + panel.withNoValue(words.usage),
    inFlight: lines('Probes in flight', 'Probes that are waiting for their response.', 'short', 'max(%s)' % own(exporter.probes_in_flight), 'in flight', words.probes),
    refused:
      panel.timeSeries.bars('Rejected requests', 'Requests to the exporter that it rejected, or that named something unknown.', 'short', [
        query.range(promql.orNone('sum by (reason) (increase(%s[$__interval])) > 0' % own(exporter.requests_refused), 'reason', 'none', own(exporter.requests_refused)), '{{reason}}'),
        query.range('sum by (kind) (increase(%s[$__interval])) > 0' % own(exporter.unknown_names), 'unknown {{kind}}'),
      ], '5m')
      + panel.timeSeries.withStacking
      + panel.withShades('orange')
      + panel.withOverrides([override.byRegexp('/^none$/', [override.color('green')])])
      + panel.withNoValue(words.probes),
    notSent:
      panel.timeSeries.bars('Probes not sent', 'Probes in each step that failed before the API was called, by outcome: a missing key, or too many probes at once.', 'short', [
        query.range(promql.orNone('sum by (error_type) (increase(%s[$__interval])) > 0' % promql.probe(metric.api.not_sent), 'error_type', 'none', promql.probe(metric.api.requests)), '{{error_type}}'),
      ], '5m')
      + panel.timeSeries.withStacking
      + panel.withShades('orange')
      + panel.withOverrides([override.byRegexp('/^none$/', [override.color('green')])])
      + panel.withNoValue(words.probes),
    storage:
      local written = organization(exporter.storage_last_write_successful);
      panel.stateTimeline.new('State persisted', 'Whether the usage counters could be written to the storage directory after each refresh, so that a restart loses nothing.', 'none', [
        query.range(promql.orWhyAllTheTime('min by (organization) (%s)' % written, written, 'organization', 'No --storage.path'), '{{organization}}'),
      ])
      + panel.withMappings([g.mapping.values({ '0': ['Fails', 'red'], '1': ['Persisted', 'green'] })])
      + panel.withNoValue('No --storage.path is set'),
    clock: lines('Clock offset', "The API's clock less ours; days and months follow the API's clock.", 's', 'max by (organization) (%s)' % organization(refresh.clock_offset_seconds), '{{organization}}', words.usage)
           + panel.timeSeries.withFreeMin,
    cpu: lines('CPU', 'Processor time of the exporter, 100 % is one core.', 'percentunit', 'sum by (instance) (rate(%s[$__rate_interval]))' % own(metric.process.cpu_seconds_total), '{{instance}}', words.probes),
    memory: lines('Memory', 'Resident memory of the exporter.', 'bytes', 'sum by (instance) (%s)' % own(metric.process.resident_memory_bytes), '{{instance}}', words.probes),
    connections:
      lines('Reused connections', 'Ratio of the probes that reused an open connection.', 'percentunit', 'avg by (target) (avg_over_time(%s[$__interval]))' % promql.probe(metric.probe.connection_reused), '{{target}}', words.probes)
      + panel.withMax(1),
  }
