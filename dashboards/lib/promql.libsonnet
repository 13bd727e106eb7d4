// SPDX-License-Identifier: Apache-2.0
// Pieces of PromQL that panels share: selectors by the page's variables, joined replicas, names for ids, few lines of many.
// Strings are put together with +, which is far faster than % where hundreds of queries are rendered.
local series = import '../../alerting/lib/series.libsonnet';
local metric = import 'metric.libsonnet';

local byWhich(labels) = if labels == '' then '' else ' by (' + labels + ')';

// Counter -> its recorded growth, and the matchers of it there.
local growth = {
  [metric.usage.input_tokens]: [series.tokensGrowth, 'direction="input"'],
  [metric.usage.input_cached_tokens]: [series.tokensGrowth, 'direction="cached"'],
  [metric.usage.output_tokens]: [series.tokensGrowth, 'direction="output"'],
  [metric.usage.requests]: [series.requestsGrowth, ''],
  [metric.usage.estimated_cost_usd]: [series.costGrowth, ''],
  [metric.api.latency_seconds]: [series.latencyGrowth, ''],
  [metric.api.time_to_first_token_seconds]: [series.firstTokenGrowth, ''],
};

function(config) {
  local it = self,
  local without = 'max without (' + config.instanceLabels + ') (',
  local ofOrganization = 'organization=~"$organization"',
  local ofProject = ofOrganization + ',project_id=~"$project"',
  // An alias of a model also selects its dated snapshots.
  local aliased = 'model=~"$model(-[0-9]{4}-[0-9]{2}-[0-9]{2})?"',
  local ofWhom = ofProject + ',api_key_id=~"$key",user_id=~"$user"',
  local ofUsage = ofWhom + ',' + aliased,
  local ofModel = ofProject + ',' + aliased,
  local ofTarget = 'target=~"$target"',
  local ofProbe = ofTarget + ',model=~"$model"',
  local selector(name, matchers, more) =
    name + '{' + config.selector
    + (if matchers == '' then '' else ',' + matchers)
    + (if more == '' then '' else ',' + more)
    + '}',

  // --- Selectors. `more` are further matchers, such as 'direction="input"'.
  select(name, matchers, more=''): selector(name, std.join(',', matchers), more),
  // What probes expose, and what adds up over them.
  probe(name, more=''): selector(name, ofProbe, more),
  usage(name, more=''): selector(name, ofUsage, more),
  organization(name, more=''): selector(name, ofOrganization, more),
  project(name, more=''): selector(name, ofProject, more),
  own(name, more=''): selector(name, '', more),
  // Service levels of one kind; label slo.
  slo(name, more=''): selector(name, 'slo="$slo",' + ofProbe, more),

  // --- What proves that none is none. The rules that find alerts and record are loaded when one of them that needs no
  // data has recorded; without them nothing is known.
  rulesLoaded: series.monthElapsed,
  // Over time: a line of zeros that says so where there is none.
  orNone(expr, label, text, proof): expr + '\nor on () label_replace(0 * group(' + proof + '), "' + label + '", "' + text + '", "", "")',
  noneWhere(expr, proof): '(' + expr + ') or on () 0 * group(' + proof + ')',
  // Where usage (or other `proof`) is read and a selection has none: a trace below zero, for which panel.stat.withSelection
  // has the words.
  orUnmatched(expr, proof=metric.refresh.up): expr + '\nor on () 0 * group(' + it.organization(proof) + ') - 1e-9',
  // Facts that change in weeks, such as the list of models, stay known for a day after their last reading.
  lasting(expr): 'last_over_time(' + expr + '[1d])',
  // Seconds since the last reading where that is more than ten minutes ago.
  ageOf(expr): 'time() - max(max_over_time(timestamp(' + expr + ')[1d:5m])) > 600',

  // --- Alerts of this bundle that fire.
  firing(more=''): metric.scrape.alerts + '{alertname=~"OpenAI.*",alertstate="firing"' + (if more == '' then '' else ',' + more) + '}',

  // Labels that tell two alerts of a name and severity apart, in the order in which people read them. Windows are none.
  telling: [
    'cluster',
    'organization',
    'status_page',
    'budget',
    'scope',
    'id',
    'period',
    'project_id',
    'api_key',
    'api_key_id',
    'kind',
    'dataset',
    'operation',
    'api',
    'target',
    'module',
    'model',
    'listed_model',
    'served_model',
    'component',
    'state',
    'impact',
    'limit_type',
    'unit',
    'slo',
    'anomaly',
    'threshold',
    'threshold_metric',
    'instance',
    'integration',
    'rule_group',
  ],

  // --- Replicas of the exporter show the same figures; one of them is enough.
  one(expr): without + expr + ')',
  sum(expr, by=''): 'sum' + byWhich(by) + ' (' + it.one(expr) + ')',
  // What a usage counter grew by. That of tokens, requests and cost is recorded, so that a month is quick to read.
  grown(name, by='', range='$__interval', more='', at=''):
    if std.objectHas(growth, name) then it.grew(growth[name][0], by, range, growth[name][1], at)
    else it.sum('increase(' + it.usage(name, more) + '[' + range + '])' + at, by),
  // Of steps from their start: all but the running one, the last of the chart.
  whole(expr): '(' + expr + ')\nand on () vector(time()) < on () max_over_time(vector(time())[1h:1h] @ end())',
  // The sum of recorded growth, of the level with the fewest series that has the labels which are asked for or chosen.
  // Only one is read: no series has the label `none`, so All (.*) matches it and nothing else does.
  grew(name, by='', range='$__interval', more='', at=''):
    local level(of, matchers) =
      'sum_over_time(' + selector(series.growthOf(of, name), matchers, more) + '[' + range + ']' + at + ')';
    local asked(label) = std.length(std.findSubstr(label, by)) > 0;
    local byKey = asked('api_key_id') || asked('user_id');
    assert byKey || !(asked('project_id') && asked('model')) : 'no level for ' + by;
    // By projects the models decide between two levels, and by models the projects.
    local few = if asked('project_id') then ['project', ofProject, '$model'] else ['model', ofOrganization + ',' + aliased, '$project'];
    'sum' + byWhich(by) + ' (' + std.join('\nor ', (
      if byKey then [level('key_user', ofWhom + ',none=~"$model"'), level('key_user_model', ofUsage + ',none!~"$model"')]
      else [
        level(few[0], few[1] + ',none=~"' + few[2] + '",none=~"$key",none=~"$user"'),
        level('project_model', ofModel + ',none!~"' + few[2] + '",none=~"$key",none=~"$user"'),
        level('key_user_model', ofUsage + ',none!~"$key"'),
        level('key_user_model', ofUsage + ',none!~"$user"'),
      ]
    )) + ')',

  // --- The `k` labels with the largest `ranking`, one value each, keep their line over the whole time range.
  // What there is at the end of the time range, and the sum of growth in all of it, with the running step of a chart. That
  // may be as long as the range and have nothing yet: what has none is ranked by the hour before.
  atEnd(selected, label): it.sum(lately(selected), label),
  inRange(name, label):
    '(' + it.grown(name, label, '$__range', at=' @ end() offset -$__interval') + '\nor ' + it.grown(name, label, '1h', at=' @ end()') + ')',
  local largest(k, label, ranking) = 'on (' + label + ') topk(' + k + ', ' + ranking + ')',
  top(k, label, ranking, expr): '(' + expr + ')\nand ' + largest(k, label, ranking),
  rest(k, label, ranking, expr): 'sum(\n(' + expr + ')\nunless ' + largest(k, label, ranking) + '\n)',
  // The models that are probed most.
  models(expr, k=12): '(' + expr + ')\nand on (model) topk(' + k + ', sum by (model) (' + it.probe(metric.api.requests) + ' @ end()))',

  // For sparklines: the newest value of each step, stamped with its start, so that a tile over a long range shows what is
  // so now, not hours ago; and that a figure has ended, in place of its last value.
  current(selected, at=''): 'last_over_time(' + selected + '[$__interval]' + at + ' offset -$__interval) or ' + selected + at,
  course(expr): '(' + expr + ') or vector(NaN)',

  // The organizations' cost in two lines of which one is there: within the budget, or over it, by the ratio of their own
  // budgets of that period at the end of the time range.
  byBudget(expr, ratio, period, valueOf=function(selected) selected + ' @ end()'):
    local over = 'max(' + valueOf(it.organization(ratio, 'scope="organization",period="' + period + '"')) + ') >= 1';
    ['(' + it.course(expr) + ')\n' + side + ' on () (' + over + ')' for side in ['unless', 'and']],

  // The share of ones, with a label that says it in words: text="5 of 8".
  upOf(expr):
    it.orWhy('label_join(\nsum(' + expr + ') / count(' + expr + ')\n* on () group_right () (\n  count_values("up", sum(' + expr
             + '))\n  * on () group_left (all) count_values("all", count(' + expr + '))\n),\n"text", " of ", "up", "all"\n)', 'text', 'Unknown'),

  // --- Share of valid probes that were good, over a range.
  success(range, by=''):
    local which = byWhich(by);
    'sum%s (sum_over_time(%s[%s])) / sum%s (sum_over_time(%s[%s]))' % [which, it.probe(good), range, which, it.probe(valid), range],

  // --- Share of each probe's valid calls that were good, of the twelve that fail most; -1 where none was valid.
  local summed(by, name, range) = 'sum by (' + by + ') (sum_over_time(' + it.probe(name) + '[' + range + '))',
  local good = metric.probe.availability_good,
  local valid = metric.probe.availability_valid,
  shares(by):
    '(\n' + summed(by, good, '$__interval]') + '\n/ (' + summed(by, valid, '$__interval]') + ' > 0)\nor\n('
    + summed(by, valid, '$__interval]') + ' == 0) - 1\n)\nand on (' + by + ') bottomk(12,\n'
    + summed(by, good, '$__range] @ end()') + '\n/ ' + summed(by, valid, '$__range] @ end()') + '\n)',

  // --- Names for ids, those at the end of the time range or from the month after it: a rename does not split a line, and a
  // past from before names were read has them too. What has no name shows its id; what is not grouped says so.
  local lately(selected) = 'last_over_time(' + selected + '[1h] @ end())',
  local latest(info) = 'last_over_time(' + info + '[31d] @ end() offset -31d) or ' + lately(info),
  local named(id, name, info, known, expr, absent='not grouped') =
    '(' + expr + ')\n* on (' + id + ') group_left (' + name + ') (\ntopk by (' + id + ') (1, max by ('
    + id + ', ' + name + ') (' + info + '))\nor on (' + id + ')\n' + it.idsAsNames(id, name, known, absent) + '\n)',
  idsAsNames(id, name, known, absent='not grouped'):
    'label_replace(label_replace(group by (' + id + ') (' + known + '), "' + name + '", "$1", "' + id + '", "(.+)"), "'
    + name + '", "' + absent + '", "' + id + '", "")',
  // Ids that usage has now; recorded, which an import writes too and which is quicker to read than each model's counter.
  local requests = lately(it.organization(series.growthOf('key_user', series.requestsGrowth))),
  withProject(expr, known=requests, absent='not grouped'):
    named('project_id', 'project', latest(it.organization(metric.project.info)), known, expr, absent),
  withKey(expr, known=requests):
    named('api_key_id', 'api_key', latest(it.organization(metric.key.info)), known, expr),
  // Owners of keys are users, known by name, or service accounts, known by id.
  local asOwner(expr) = 'label_replace(label_replace(' + expr + ', "owner_id", "$1", "user_id", "(.+)"), "owner", "$1", "user", "(.+)")',
  withOwner(expr):
    named('owner_id', 'owner', asOwner(latest(it.organization(metric.user.info))), it.organization(metric.key.info), expr, 'nobody'),
  withUser(expr, known=requests):
    named('user_id', 'user', latest(it.organization(metric.user.info)), known, expr),

  // Budgets by whom they bound: a project, key or user by its name, a model, or all.
  withBounded(expr):
    local of(info, id, name) =
      'label_replace(label_replace(' + latest(it.organization(info)) + ', "id", "$1", "' + id + '", "(.+)"), "whose", "$1", "' + name + '", "(.+)")';
    local infos = std.join('\nor ', [
      of(metric.project.info, 'project_id', 'project'),
      of(metric.key.info, 'api_key_id', 'api_key'),
      of(metric.user.info, 'user_id', 'user'),
    ]);
    named('id', 'whose', infos, lately(it.organization(metric.budget.limit_usd)), expr, 'all'),

  // --- What each day (UTC) was billed, stamped with its start; of the running one what there is. Its sum is last shown as
  // that of yesterday. An hour or a second is left out at the end, since midnight itself belongs to the next day.
  daily(by=''):
    local day(window, of) = 'sum' + byWhich(by) + ' (' + it.one('last_over_time(' + it.project(metric.costs.day_usd, 'window="' + window + '"') + of + ')') + ')';
    day('yesterday', '[23h] offset -47h') + '\nor\n' + day('today', '[86399s] offset -86399s'),

  // Bars of days need a day: a shorter range has none of their starts.
  inDays(expr): '(\n' + expr + '\n) and on () vector($__range_s) >= 86400',

  // --- Where there is nothing, tables of several queries and state timelines would say so without a reason: they get
  // one row, in which `label` says why.
  orWhy(expr, label, why): expr + '\nor on () label_replace(vector(NaN), "' + label + '", "' + why + '", "", "")',
  // Over a time range, where `known` had no sample in all of it; the value is that of panel.stateTimeline.nothing.
  orWhyAllTheTime(expr, known, label, why):
    expr + '\nor on () label_replace(0 * absent_over_time(' + known + '[$__range] @ end()) - 2, "' + label + '", "' + why + '", "", "")',

  // --- Histograms and dates. Percentiles over the page's ranges come from recorded growth of the buckets; a fixed
  // range such as 15m reads the buckets themselves, which are up to the minute.
  // While all models are chosen, latency is read from its sum over them; as with `grew`, only one of the two is.
  buckets(name, by, range):
    local read(selected) = 'sum_over_time(' + selected + '[' + range + '])';
    local each(more) = read(it.probe(growth[name][0], more));
    'sum by (' + by + ') ('
    + (
      if name == metric.api.latency_seconds
      then read(selector(series.endpointLatencyGrowth, ofTarget + ',none=~"$model"', '')) + ' or ' + each('none!~"$model"')
      else each('')
    ) + ')',
  // Latency is that of good answers: an outage would make it look fast. What is recorded has no others.
  quantile(q, name, by='', range='$window'):
    local labels = 'le' + (if by == '' then '' else ', ' + by);
    'histogram_quantile(%g, ' % q
    + (
      if std.startsWith(range, '$') then it.buckets(name, labels, range)
      else 'sum by (' + labels + ') (increase(' + it.probe(name, if name == metric.api.latency_seconds then 'status_code=~"2.."' else '') + '[' + range + ']))'
    ) + ')',
  // Exemplars are those of the metric that a query names, and recorded series have none. At the start of all time the
  // metric has no samples: it is named and costs nothing.
  withExemplarsOf(name, expr): expr + '\nunless on () ' + it.probe(name) + ' @ 0',
  // p95 of each model in the slowest twenty minutes of a step; recorded, since a month of buckets is too much to read.
  slowest: 'max by (model) (max_over_time(' + it.probe(series.modelLatency) + '[$__interval]))',
  // Grafana's dates are in milliseconds.
  date(expr): '1000 * (' + expr + ')',
}
