// SPDX-License-Identifier: Apache-2.0
// Names of the recorded series, spelt here and nowhere else; rules, alerts and dashboards take them from here.
//
// level:metric:operations. The levels and the labels that their series carry:
//   probe         one probe: job, target, provider, module, endpoint, model
//   replica       one probe as one replica of the exporter sees it: those of probe, and instance
//   target_model  one model on a target: job, target, model
//   target        everything probed on a target: job, target, provider
//   dataset       one dataset of an organization: job, organization, dataset
//   organization, project, project_model, key, operation, operation_model, model, budget     usage and costs by these labels
//   target_model_endpoint          one model at one endpoint of a target: job, target, model, endpoint
//   project_model                  usage of a model by a project: job, organization, operation, project_id, model
//   key_user                       usage of a key and its user: job, organization, operation, project_id, api_key_id, user_id
//   key_user_model                 usage of a model by a key and its user: job, organization, operation, project_id, api_key_id, user_id, model
//   anomaly       job and the labels of the signal (organization, or those of a probe), plus anomaly
{
  // --- service levels; label slo says which. w is a window of the configuration, such as 1h.
  events(level, w):: level + ':openai_sli_events:sum' + w,
  badEvents(level, w):: level + ':openai_sli_bad_events:sum' + w,
  errorRatio(level, w):: level + ':openai_sli_error:ratio' + w,
  objective(level):: level + ':openai_objective:ratio',
  errorBudget(level):: level + ':openai_error_budget:ratio',
  currentBurnRate(level):: level + ':openai_current_burn_rate:ratio',
  periodBurnRate(level):: level + ':openai_period_burn_rate:ratio',
  budgetRemaining(level):: level + ':openai_period_error_budget_remaining:ratio',
  budgetRemainingEvents(level):: level + ':openai_period_error_budget_remaining_events:difference',
  // Unix time at which the budget is gone at the pace of the second-shortest long window (6h).
  budgetExhaustion(level):: level + ':openai_error_budget_exhaustion_timestamp_seconds:projection',

  // --- samples of probes and datasets, taken once per probe interval; the events of an SLI that has no counter.
  sampleEvents(level, slo):: level + ':openai_' + slo + '_sli_events:count',
  sampleGood(level, slo):: level + ':openai_' + slo + '_sli_good:sum',
  // When the newest result came; 1 where one came since the evaluation before, and where it was good.
  resultTime: 'replica:openai_probe_result_timestamp_seconds:max',
  newResult: 'replica:openai_probe_new_result:group',
  newGood: 'replica:openai_probe_new_good_result:group',
  freshOutcome: 'probe:openai_probe_fresh_outcome:sum',
  // An outcome that several real results in a row had, until another comes.
  lastingOutcome: 'probe:openai_probe_lasting_outcome:sum',
  goodDuration: 'probe:openai_probe_good_duration_seconds:avg',
  modelLatency: 'target_model:openai_api_latency_seconds:p95_20m',
  dataAge: 'dataset:openai_usage_data_age_seconds:min',
  dataUnreadAge: 'dataset:openai_usage_data_unread_age_seconds:max',
  dataAgeBound: 'dataset:openai_usage_data_age_bound_seconds:max',
  // 1 while the figures on usage are fresh, 0 while they are not or while no exporter answers.
  usageFresh: 'organization:openai_usage_fresh:min',

  // --- limits
  headroom: 'probe:openai_api_rate_limit_remaining_per_limit:ratio',
  projectRequests: 'project_model:openai_usage_requests:rate10m',
  projectInputTokens: 'project_model:openai_usage_input_tokens:rate10m',
  projectTokens: 'project_model:openai_usage_tokens:rate10m',
  projectLimitUsed: 'project_model:openai_project_rate_limit_used:ratio10m',

  // --- usage and spend
  inputTokens: 'organization:openai_usage_input_tokens:increase1h',
  tokens: 'organization:openai_usage_tokens:increase1h',
  estimatedCost: 'organization:openai_usage_estimated_cost_usd:increase1h',
  keyCost: 'key:openai_usage_estimated_cost_usd:increase1h',
  // US dollars in an hour: the mean and the highest of the week before. They stand still while OpenAIKeySpendSpike fires.
  keyUsual: 'key:openai_usual_cost_usd:avg7d',
  keyPeak: 'key:openai_usual_cost_usd:max7d',
  operationModelRequests: 'operation_model:openai_usage_requests:increase1h',
  operationRequests: 'operation:openai_usage_requests:increase1h',
  modelRequests: 'model:openai_usage_requests:increase1h',
  modelInUse: 'model:openai_model_in_use:group',

  // --- growth: what counters grew by since the evaluation before, that of usage every ten
  // minutes and that of buckets every five. Read over ranges, with sum_over_time.
  latencyGrowth: 'target_model_endpoint:openai_api_latency_seconds_bucket:growth5m',
  // The sum of it over models, which is quick to read however many there are.
  endpointLatencyGrowth: 'target_endpoint:openai_api_latency_seconds_bucket:growth5m',
  firstTokenGrowth: 'target_model:openai_api_time_to_first_token_seconds_bucket:growth5m',
  // Label direction: input, cached (a part of it), output. An import writes these three as well (metrics/usage.py).
  tokensGrowth: 'key_user_model:openai_usage_tokens:growth10m',
  requestsGrowth: 'key_user_model:openai_usage_requests:growth10m',
  costGrowth: 'key_user_model:openai_usage_estimated_cost_usd:growth10m',
  // Sums of it by fewer labels: key_user ranks keys and users; project_model, project and model have few series however
  // many keys there are.
  growthOf(level, growth):: std.strReplace(growth, 'key_user_model:', level + ':'),

  // --- costs
  costMonth: 'organization:openai_costs_month_to_date_usd:sum',
  modelBilled: 'model:openai_cost_drift_billed_usd:sum',
  modelDrift: 'model:openai_estimated_per_billed_cost:ratio',
  costDrift: 'organization:openai_estimated_per_billed_cost:ratio',
  monthElapsed: 'global:openai_month_elapsed:ratio',
  monthRemainingDays: 'global:openai_month_remaining_days:difference',
  costYesterday: 'organization:openai_costs_yesterday_usd:sum',
  costDaily: 'organization:openai_costs_daily_usd:avg7d',
  costRest: 'organization:openai_costs_remaining_usd:projection',
  forecastSpread: 'organization:openai_costs_forecast_spread_usd:projection',
  forecast: 'organization:openai_costs_forecast_usd:projection',
  forecastUpper: 'organization:openai_costs_forecast_upper_usd:projection',
  forecastLower: 'organization:openai_costs_forecast_lower_usd:projection',
  budgetRatio: 'budget:openai_budget_spent_per_limit:ratio',
  // Label slot: the day that ended 1 to 7 whole days before its next return; how often that day returns before the month ends.
  slotReturns: 'global:openai_month_remaining_slots:count',
  budgetDay: 'budget:openai_budget_spent_per_limit:delta1d',
  budgetRest: 'budget:openai_budget_remaining_per_limit:projection',
  budgetForecast: 'budget:openai_budget_forecast_per_limit:ratio',
  budgetForecastLower: 'budget:openai_budget_forecast_lower_per_limit:ratio',

  // --- anomalies; label anomaly says which signal
  weekend: 'global:openai_weekend:bool',
  anomalyLevel: 'anomaly:openai_signal:level',
  anomalyLookback: 'anomaly:openai_signal:lookback',
  anomalyBaseline: 'anomaly:openai_signal:baseline',
  anomalySpread: 'anomaly:openai_signal:spread',
  anomalyUpper: 'anomaly:openai_signal:upper_band',
  anomalyLower: 'anomaly:openai_signal:lower_band',

  // Recorded for people and dashboards, though no alert reads them: name (or its start, ending in *) -> why.
  exported: {
    'probe:openai_current_burn_rate:ratio': 'SLO page: how fast the budget burns now',
    'target:openai_*': 'SLO page: service levels of a target as a whole',
    'dataset:openai_*': 'SLO page: service level of the usage data',
    'probe:openai_period_error_budget_remaining_events:difference': 'SLO page: failed probes that the budget still allows',
    'probe:openai_error_budget_exhaustion_timestamp_seconds:projection': 'SLO page: when the budget will be gone',
    'target_model:openai_api_latency_seconds:p95_20m': 'overview and probes page: a month of it without reading every bucket',
    'target_model_endpoint:openai_api_latency_seconds_bucket:growth5m': 'probes page: percentiles over a month',
    'target_endpoint:openai_api_latency_seconds_bucket:growth5m': 'probes page: percentiles of all models over a month, quickly',
    'target_model:openai_api_time_to_first_token_seconds_bucket:growth5m': 'probes page: time to first token over a month',
    'key_user_model:openai_usage_*': 'usage and costs pages: a month by key and user',
    'key_user:openai_usage_*:growth10m': 'usage and costs pages: a month of every key and user, quickly',
    'project_model:openai_usage_*:growth10m': 'usage page: a month by model and project, quickly',
    'project:openai_usage_*:growth10m': 'usage page: a month by project, quickly',
    'model:openai_usage_*:growth10m': 'usage page: a month by model, quickly',
    'organization:openai_costs_forecast_*': 'costs page: forecast to the end of the month with its band',
  },
}
