// SPDX-License-Identifier: Apache-2.0
// Panels of usage: tokens and requests, by whom and of what.
local series = import '../../alerting/lib/series.libsonnet';
local g = import '../lib/g.libsonnet';
local metric = import '../lib/metric.libsonnet';
local words = import '../lib/words.libsonnet';

local panel = g.panel;
local query = g.query;
local override = g.override;
local threshold = g.threshold;
local transformation = g.transformation;

function(config, promql)
  local usage = metric.usage;
  local grown = promql.grown;
  // What ranks models and projects.
  local inputs(label) = promql.inRange(usage.input_tokens, label);
  local tokens(by='', range='$__interval') = promql.grew(series.tokensGrowth, by, range, 'direction=~"input|output"');
  local tile(title, description, unit, expr, noValue=words.short.usage) =
    panel.stat.new(title, description, unit, [query.instant(promql.orUnmatched(expr), std.asciiLower(title))]) + panel.withNoFigure(noValue) + panel.stat.withSelection();
  // The sum of a chart's bars, which begin and end with their step.
  local sum(title, description, expr, unit='short') =
    panel.stat.ofBars(title, description + ' The sum of the bars below: full hours, or their longer steps.', unit, [query.range(promql.orUnmatched(expr), std.asciiLower(title))])
    + panel.withNoFigure(words.short.usage)
    + panel.stat.withSelection();
  // To this page with one more choice, which keeps the others.
  local only(what, name, field) =
    g.link.data(config.dashboards.usage, 'Only this ' + what, { [name]: field }, ['datasource', 'organization', 'project', 'key', 'user', 'model']);
  local hidden(id) = override.byName(id, [override.hidden]);
  // A chart of the eight largest and all the others, whose sum is the whole. `named` turns label into `shown`.
  local stacked(title, description, label, shown=label, named=function(expr) expr) =
    panel.timeSeries.bars(title, description, 'short', [
      query.range(named(promql.top(8, label, inputs(label), tokens(label))), '{{' + shown + '}}'),
      query.range(promql.rest(8, label, inputs(label), tokens(label)), 'all others'),
    ])
    + panel.timeSeries.withStacking
    + panel.withDataLinks([only(shown, shown, '__field.labels.' + label)])
    + panel.withOverrides([override.byName('all others', [override.color('text'), override.links([])])])
    + panel.withNoValue(words.usage);
  local ratio(title, description, unit, above, below) =
    panel.timeSeries.new(title, description, unit, [
      query.range(
        promql.top(8, 'model', inputs('model'), '%s\n/ %s' % [grown(above, 'model'), grown(below, 'model')]),
        '{{model}}'
      ) + query.withMinStep('1h'),
    ])
    + panel.withMaxDataPoints(100)
    + panel.timeSeries.withFill(0)
    + panel.withNoValue(words.usage);

  {
    // --- In the time range
    total: sum('Tokens', 'Input and output tokens in the time range.', tokens()),
    input: sum('Input', 'Input tokens in the time range, cached ones included.', grown(usage.input_tokens)) + panel.withColor('blue'),
    output: sum('Output', 'Output tokens in the time range; they include reasoning.', grown(usage.output_tokens)) + panel.withColor('red'),
    requests: sum('Requests', 'Requests to models in the time range.', grown(usage.requests)) + panel.withColor('green'),
    cost: sum('Est. cost', 'List price of the tokens in the time range.', grown(usage.estimated_cost_usd), 'currencyUSD') + panel.withDecimals(2),
    billed:
      panel.stat.ofBars('Billed', 'Billed for the days (UTC) of the time range, the first one in full. Bills know projects only: the filters by API key, user and model do not apply.', 'currencyUSD', [
        query.range(promql.orUnmatched(promql.daily(), metric.costs.month_to_date_usd), 'billed'),
      ], '1d')
      + panel.withDecimals(2)
      + panel.withNoFigure(words.short.costs)
      + panel.stat.withSelection(words.short.unmatchedCosts),
    cached: tile('Cached', 'Ratio of the input tokens in the time range that came from the cache, at a lower price.', 'percentunit', '%s / %s' % [
      grown(usage.input_cached_tokens, range='$__range'),
      grown(usage.input_tokens, range='$__range'),
    ]) + panel.withDecimals(1),

    // --- The three charts that everybody knows
    totalTokens:
      panel.timeSeries.bars('Total tokens', 'Input and output tokens together. Each bar sums up one step of the chart, an hour at least; the last one is still running.', 'short', [
        query.range(tokens(), 'tokens'),
      ])
      + panel.withColor('green')
      + panel.timeSeries.withoutLegend
      + panel.withNoValue(words.usage),
    inputOutput:
      panel.timeSeries.bars('Input and output tokens', 'Input tokens (blue) and output tokens (red). Each bar sums up one step of the chart, an hour at least; the last one is still running.', 'short', [
        query.range(grown(usage.input_tokens), 'input'),
        query.range(grown(usage.output_tokens), 'output'),
      ])
      + panel.timeSeries.withStacking
      + panel.withOverrides([override.byName('input', [override.color('blue')]), override.byName('output', [override.color('red')])])
      + panel.withNoValue(words.usage),
    requestsPerHour:
      panel.timeSeries.bars('Requests per hour', 'Requests to models in each hour; in longer steps, their mean per hour. The last bar is still running.', 'short', [
        query.range('3600000 / $__interval_ms * %s' % grown(usage.requests), 'requests per hour'),
      ])
      + panel.withMaxDataPoints(200)
      + panel.withColor('green')
      + panel.timeSeries.withoutLegend
      + panel.withNoValue(words.usage),

    // --- Cost
    costPerDay:
      panel.timeSeries.bars('Cost per day, estimated and billed', 'Of each day (UTC): the list price of the tokens, and what is billed. The last day is still running, and bills grow for some hours after the day. Bills know projects only: the filters by API key, user and model apply to the estimate alone.', 'currencyUSD', [
        query.range(promql.inDays(grown(usage.estimated_cost_usd)), 'estimated'),
        query.range(promql.inDays(promql.daily()), 'billed'),
      ], '1d')
      + panel.timeSeries.withBarsFromStart
      + panel.withOverrides([override.byName('estimated', [override.color('light-blue')]), override.byName('billed', [override.color('green'), override.fillOpacity(30), override.lineWidth(2)])])
      + panel.withDecimals(2)
      + panel.withNoValue(words.days),

    // --- By model, project, key, user
    byModel: stacked('Tokens by model', 'Tokens of the eight models that used most input tokens in the time range, and of all others together.', 'model'),
    byProject: stacked('Tokens by project', 'Tokens of the eight projects that used most input tokens in the time range, and of all others together.', 'project_id', 'project', function(expr) promql.withProject(expr, promql.inRange(usage.requests, 'project_id'))),
    models:
      panel.table.new('Models', 'Each model in the time range; input, cached and output are tokens. The cost is an estimate by list price; a model without one has none.', 'short', [
        query.table(promql.orWhy(grown(usage.requests, 'model', '$__range') + ' > 0', 'model', words.short.usage)),
      ] + [
        query.table(grown(usage[name], 'model', '$__range') + ' > 0')
        for name in ['input_tokens', 'input_cached_tokens', 'output_tokens', 'estimated_cost_usd']
      ])
      + panel.table.withColumns([
        ['model', 'Model'],
        ['Value #A', 'Requests'],
        ['Value #B', 'Input'],
        ['Value #C', 'Cached'],
        ['Value #D', 'Output'],
        ['Input/req.', 'Input/req.'],
        ['Output/req.', 'Output/req.'],
        ['Value #E', 'Cost'],
        ['Cost/req.', 'Cost/req.'],
      ], [
        transformation.binary('Input/req.', 'Value #B', '/', 'Value #A'),
        transformation.binary('Output/req.', 'Value #D', '/', 'Value #A'),
        transformation.binary('Cost/req.', 'Value #E', '/', 'Value #A'),
      ])
      + panel.table.withSort('Input')
      + panel.withOverrides([
        override.byRegexp('Requests|Input/req.|Output/req.|Cost.*', [override.width(100)]),
        override.byRegexp('Cost.*', override.dollars),
        override.byName('Cost/req.', [override.decimals(5)]),
        override.byName('Model', [override.width(245), override.links([only('model', 'model', '__value.raw')])]),
      ])
      + panel.table.withoutLinks([words.short.usage])
      + panel.withNoValue(words.usage),
    keys:
      local ofKeys(name) = promql.withProject(promql.withKey(promql.top(50, 'api_key_id', promql.atEnd(promql.usage(usage.input_tokens), 'api_key_id'), grown(name, 'api_key_id, project_id', '$__range'))));
      panel.table.new('API keys', 'Each API key in the time range, with its input and output tokens; the fifty that used most input tokens this month. The cost is an estimate by list price.', 'short', [
        query.table(promql.orWhy(ofKeys(usage.requests), 'api_key', words.short.usage)),
      ] + [
        query.table(ofKeys(name))
        for name in [usage.input_tokens, usage.output_tokens, usage.estimated_cost_usd]
      ])
      + panel.table.withColumns([
        ['api_key', 'API key'],
        ['project', 'Project'],
        ['api_key_id', 'api_key_id'],
        ['project_id', 'project_id'],
        ['Value #A', 'Requests'],
        ['Value #B', 'Input'],
        ['Value #C', 'Output'],
        ['Value #D', 'Cost'],
      ])
      + panel.table.withSort('Input')
      + panel.withOverrides([
        override.byName('Cost', override.dollars),
        override.byRegexp('Requests|Cost', [override.width(90)]),
        override.byName('API key', [override.width(165), override.links([only('API key', 'key', '__data.fields.api_key_id')])]),
        override.byName('Project', [override.links([only('project', 'project', '__data.fields.project_id')])]),
        hidden('api_key_id'),
        hidden('project_id'),
      ])
      + panel.table.withoutLinks([words.short.usage])
      + panel.withNoValue(words.keys),
    users:
      panel.barGauge.new('Users', 'Tokens of each user in the time range; the ten that used most.', 'short', '${__field.labels.user}', [
        query.instant('sort_desc(%s)' % promql.withUser('topk(10, ' + tokens('user_id', '$__range') + ')'), '{{user}}'),
      ])
      + panel.withDataLinks([only('user', 'user', '__field.labels.user_id')])
      + panel.withNoFigure(words.short.users),

    // --- Ratios
    inputPerRequest: ratio('Input per request', 'Mean input tokens of a request, by model: long prompts cost and slow down.', 'short', usage.input_tokens, usage.requests),
    outputPerInput: ratio('Output per input', 'Output tokens for each input token, by model.', 'percentunit', usage.output_tokens, usage.input_tokens),
    cachedShare: ratio('Cached input ratio', 'Ratio of the input tokens that came from the cache, by model.', 'percentunit', usage.input_cached_tokens, usage.input_tokens)
                 + panel.withMax(1),

    // --- When, and whether it is usual
    peakHours:
      panel.barChart.new('Requests by hour of day', 'Mean requests in each hour of the day (UTC) over the time range, without the running hour; choose a week or more.', 'short', [
        query.fromStart(query.range(promql.whole(grown(usage.requests)), 'requests')) + query.withMinStep('1h'),
      ])
      + panel.withMaxDataPoints(1000)
      + panel.barChart.withNameField('Time')
      + panel.withTransformations([
        transformation.timeAsText('HH'),
        transformation.groupBy('Time', { requests: 'mean' }),
        transformation.sortBy('Time'),
      ])
      + panel.withColor('green')
      + panel.withNoValue(words.usage),
    anomaly:
      panel.timeSeries.new('Tokens and expected range', 'Tokens of the last hour, and the range that is expected from the same hour of the days before. Outside of it for long, an alert fires. Per organization: the filters by project, key, user and model do not apply.', 'short', [
        query.range('sum(%s)' % promql.organization(series.anomalyUpper, 'anomaly="tokens"'), 'expected range'),
        query.range('sum(%s)' % promql.organization(series.anomalyLower, 'anomaly="tokens"'), 'range, bottom'),
        query.range('sum(%s)' % promql.organization(series.anomalyLevel, 'anomaly="tokens"'), 'tokens per hour'),
      ])
      + panel.timeSeries.withFill(0)
      + panel.timeSeries.withBand('expected range', 'range, bottom', 'super-light-green')
      + panel.withOverrides([override.byName('tokens per hour', [override.color('green')])])
      + panel.withNoValue(words.learning),

    // --- The month before, as the API says it now
    previous:
      local of(name) = 'max by (operation, field) (%s)' % promql.one(promql.organization(name));
      panel.table.new('Last month as the API reports it', 'Usage of the last month (UTC) as the API reports it now, and its late-arriving part, which no counter has. Per organization: the other filters do not apply.', 'locale', [
        query.table(promql.orWhy(of(metric.refresh.previous_month), 'operation', 'Not read yet')),
        query.table(of(metric.refresh.previous_month_late)),
      ])
      + panel.table.withColumns([['operation', 'Usage endpoint'], ['field', 'Figure'], ['Value #A', 'Used'], ['Value #B', 'Late']])
      + panel.table.withSort('Used')
      + panel.withDecimals(0)
      + panel.withOverrides([override.byName('Late', [override.cell('color-text'), override.thresholds(threshold.steps([['text', null], ['orange', 1]]))])])
      + panel.withNoValue(words.usage),

    // --- More than text
    cacheWrites: tile('Cache writes', 'Input tokens written to the cache in the time range.', 'short', grown(usage.input_cache_write_tokens, range='$__range')),
    audioTokens: tile('Audio', 'Audio tokens in and out in the time range; a part of the input and output tokens.', 'short', '%s + %s' % [
      grown(usage.audio_input_tokens, range='$__range'),
      grown(usage.audio_output_tokens, range='$__range'),
    ]),
    images: tile('Images', 'Images made or edited in the time range.', 'short', grown(usage.images, range='$__range')),
    speech: tile('TTS chars', 'Characters turned into speech in the time range.', 'short', grown(usage.characters, range='$__range')),
    transcribed: tile('STT audio', 'Audio transcribed in the time range, as hours:minutes:seconds.', 'dthms', grown(usage.audio_seconds, range='$__range')),
    tools: tile('Tool calls', 'File searches, web searches and code interpreter sessions in the time range.', 'short', '(%(calls)s or 0 * %(sessions)s) + (%(sessions)s or 0 * %(calls)s)' % {
      calls: grown(usage.tool_calls, range='$__range'),
      sessions: grown(usage.sessions, range='$__range'),
    }),
  }
