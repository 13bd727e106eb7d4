// SPDX-License-Identifier: Apache-2.0
// Panels of models and keys: what retires, what answers, which keys are in order, how far limits are.
local series = import '../../alerting/lib/series.libsonnet';
local g = import '../lib/g.libsonnet';
local metric = import '../lib/metric.libsonnet';
local words = import '../lib/words.libsonnet';

local panel = g.panel;
local query = g.query;
local override = g.override;
local threshold = g.threshold;

function(config, promql)
  local day = 86400;
  local organization = promql.organization;
  local key = metric.key;
  // The list of models is read by a probe: in an outage its last reading counts.
  local list = promql.lasting(promql.probe(metric.model.info));
  local shutdown = 'min by (model) (%s)' % promql.lasting(promql.probe(metric.model.shutdown_timestamp_seconds));
  // How many; 0 only where `proof` shows that there could be some.
  local count(title, description, expr, proof=null) =
    local counted = 'count(%s)' % expr;
    panel.stat.new(title, description, 'short', [query.instant(if proof == null then counted else promql.noneWhere(counted, proof), std.asciiLower(title))])
    + panel.withNoFigure(words.short.unknown)
    + panel.withDecimals(0);
  local unused = config.thresholds.keyUnusedDays;
  local expiring = config.thresholds.keyExpires[0].days;

  {
    // --- At a glance
    listed: count('Listed', 'Models that GET /models lists.', 'group by (model) (%s)' % list),
    inUse: count('In use', 'Models that are probed or were used in the last seven days.', series.modelInUse),
    retiringSoon:
      count('Retiring', 'Models in use that the API shuts down within 60 days.', '(%s - time() < %d) and on (model) %s' % [shutdown, 60 * day, series.modelInUse], list)
      + panel.withThresholds(threshold.notice(1)),
    keys: count('API keys', 'Project API keys and admin keys of the organizations.', 'group by (api_key_id, kind) (%s)' % organization(key.created_timestamp_seconds)),
    keysUnused:
      count('Unused', 'Keys that were not used for %d days, or never; a key that nobody needs can only leak.' % unused, |||
        group by (api_key_id) (time() - %(used)s > %(seconds)d)
        or
        (group by (api_key_id) (time() - %(created)s > %(seconds)d) unless on (api_key_id) %(used)s)
      ||| % {
        used: organization(key.last_used_timestamp_seconds),
        created: organization(key.created_timestamp_seconds),
        seconds: unused * day,
      }, organization(key.created_timestamp_seconds))
      + panel.withThresholds(threshold.notice(1)),
    keysExpiring:
      count('Expiring', 'Keys that expire within %d days.' % expiring, 'group by (api_key_id) (%(expires)s - time() < %(seconds)d and %(expires)s > time())' % {
        expires: organization(key.expires_timestamp_seconds),
        seconds: expiring * day,
      }, organization(key.created_timestamp_seconds))
      + panel.withThresholds(threshold.notice(1)),

    // --- Models
    shutdowns:
      panel.table.new('Shutdown dates', 'Every model with a shutdown date, and how many requests it got in the last seven days.', 'short', [
        query.table(promql.orWhy(promql.date(shutdown), 'model', 'No list of models')),
        query.table('(%s - time()) / %d' % [shutdown, day]),
        query.table('sum by (model) (sum_over_time(%s[7d:1h])) and on (model) %s' % [series.modelRequests, shutdown]),
      ])
      + panel.table.withColumns([['model', 'Model'], ['Value #A', 'Shut down on'], ['Value #B', 'Left'], ['Value #C', 'Requests, 7 d']])
      + panel.table.withSort('Left', descending=false)
      + panel.withOverrides([
        override.byName('Shut down on', [override.width(120), override.unit('time:YYYY-MM-DD')]),
        override.byName('Left', [override.width(90), override.unit('suffix: days'), override.decimals(0)]),
        override.byName('Requests, 7 d', [override.width(120), override.decimals(0)]),
      ])
      + panel.withNoValue(words.models),
    served:
      panel.table.new('Served and requested', 'Which snapshot answered when a model was asked for, and with which service tier.', 'none', [
        query.table('max by (target, requested_model, served_model, service_tier) (%s)' % promql.probe(metric.probe.model_info)),
      ])
      + panel.table.withColumns([['target', 'Target'], ['requested_model', 'Requested'], ['served_model', 'Served by'], ['service_tier', 'Tier']])
      + panel.withOverrides([override.byName('Target', [override.width(80)]), override.byName('Requested', [override.width(185)]), override.byName('Tier', [override.width(75)])])
      + panel.withNoValue(words.probes),
    missing:
      local listed = promql.select(metric.probe.model_listed, ['target=~"$target"', 'listed_model=~"$model"']);
      panel.stateTimeline.new('Probed models that are listed', 'Whether GET /models lists each model that is configured for probing; one that is not was renamed or shut down.', 'none', [
        query.range(promql.orWhyAllTheTime('max by (listed_model) (%s)' % listed, listed, 'listed_model', 'No list of models'), '{{listed_model}}'),
      ])
      + panel.withMappings([g.mapping.values({ '0': ['Not listed', 'red'], '1': ['Listed', 'green'] })])
      + panel.withNoValue(words.models),
    newest:
      panel.table.new('Newest models', 'The twenty models that the API added last.', 'none', [
        query.table(promql.date('topk(20, max by (model) (%s))' % promql.probe(metric.model.created_timestamp_seconds))),
      ])
      + panel.table.withColumns([['model', 'Model'], ['Value', 'Added']])
      + panel.table.withSort('Added')
      + panel.withOverrides([override.byName('Added', [override.unit('time:YYYY-MM-DD')])])
      + panel.withNoValue(words.models),

    // --- Keys
    keyTable:
      // Of a key that is known; where none is, nothing is known of its use.
      local orNever(expr) = expr + '\nor on (api_key_id) 1e9 * group by (api_key_id) (' + organization(key.created_timestamp_seconds) + ')';
      local never = g.mapping.range(1e8, null, 'never', 'text');
      panel.table.new('Keys', 'Every key with its project and owner. Unused keys and non-expiring keys are worth a question.', 'none', [
        query.table(promql.orWhy(
          promql.withOwner(promql.withProject('max by (api_key_id, api_key, project_id, owner_id, owner_type) (%s)' % organization(key.info)))
          + '\nor on (api_key_id)\nlabel_replace(group by (api_key_id) (%s), "api_key", "admin key", "", "")' % organization(key.created_timestamp_seconds, 'kind="admin"'),
          'api_key',
          'No keys are read'
        )),
        query.table(orNever('(time() - max by (api_key_id) (%s)) / %d' % [organization(key.last_used_timestamp_seconds), day])),
        query.table(orNever('(min by (api_key_id) (%s) - time()) / %d' % [organization(key.expires_timestamp_seconds), day])),
        query.table('(time() - max by (api_key_id) (%s)) / %d' % [organization(key.created_timestamp_seconds), day]),
      ])
      + panel.table.withColumns([
        ['api_key', 'API key'],
        ['project', 'Project'],
        ['owner', 'Owner'],
        ['owner_type', 'Owned by a'],
        ['Value #B', 'Last used'],
        ['Value #C', 'Expires in'],
        ['Value #D', 'Age'],
        ['api_key_id', 'Id'],
      ])
      + panel.table.withSort('Last used')
      + panel.withOverrides([
        override.byRegexp('Last used|Expires in|Age', [override.unit('suffix: days'), override.decimals(0)]),
        override.byName('Last used', [override.cell('color-text'), override.thresholds(threshold.notice(unused)), override.mappings([never])]),
        override.byName('Expires in', [
          override.cell('color-text'),
          override.thresholds(threshold.falling(2, expiring)),
          override.mappings([never, g.mapping.range(null, 0, 'expired', 'text')]),
        ]),
        override.byRegexp('API key|Id', [override.width(170)]),
        override.byRegexp('Last used|Expires in|Age', [override.width(105)]),
      ])
      + panel.withNoValue(words.keyInfo),

    // --- Limits of projects
    limitUsed:
      panel.barGauge.new('Project limits used', 'Mean use of the last ten minutes by the limit per minute that is configured for a project and model; the six fullest.', 'percentunit', '${__field.labels.project} ${__field.labels.model} ${__field.labels.limit_type}', [
        query.instant('sort_desc(topk(6, %s))' % promql.withProject('max by (project_id, model, limit_type) (%s)' % promql.project(series.projectLimitUsed), promql.project(metric.project.rate_limit_requests_per_minute)), '{{project}} {{model}} {{limit_type}}'),
      ])
      + panel.withMax(1)
      + panel.withDecimals(0)
      + panel.barGauge.withNamesAbove
      + panel.withThresholds(threshold.rising(config.thresholds.projectLimit.share, 1))
      + panel.withNoFigure(words.short.limits),
    limitTable:
      local ofProjects(name) = promql.withProject('max by (project_id, model) (%s)' % promql.project(name), promql.project(name));
      panel.table.new('Project limits', 'Limits per minute that are configured for each project and model, and the busiest minutes, where the exporter reads them.', 'short', [
        query.table(promql.orWhy(ofProjects(metric.project.rate_limit_requests_per_minute), 'model', words.short.limits)),
        query.table(ofProjects(metric.project.rate_limit_tokens_per_minute)),
        query.table(ofProjects(metric.project.peak_requests_per_minute)),
        query.table(ofProjects(metric.project.peak_tokens_per_minute)),
      ])
      + panel.table.withColumns([['project', 'Project'], ['model', 'Model'], ['Value #A', 'Req./min'], ['Value #C', 'Peak'], ['Value #B', 'Tokens/min'], ['Value #D', 'Peak tokens']])
      + panel.withOverrides([override.byRegexp('Req./min|Peak', [override.width(82)]), override.byRegexp('Tokens/min|Peak tokens', [override.width(105)])])
      + panel.withNoValue(words.projectLimits),
    vectorStores:
      panel.timeSeries.new('Vector stores', 'Bytes in vector stores, by project.', 'bytes', [
        query.range('topk(10, %s)' % promql.withProject('max by (project_id) (%s)' % promql.project(metric.refresh.vector_store_bytes), promql.project(metric.refresh.vector_store_bytes)), '{{project}}'),
      ])
      + panel.timeSeries.withStacking
      + panel.withNoValue(words.operations),
  }
