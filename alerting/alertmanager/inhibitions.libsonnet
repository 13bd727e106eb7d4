// SPDX-License-Identifier: Apache-2.0
// Which alert makes which other needless. A label that both alerts lack counts as equal, one that only one has does not:
// muting stays within a job and an environment.
function(config)
  local environment = ['job'] + config.environmentLabels;
  local probe = environment + ['target', 'module', 'model'];
  // Thresholds of thresholds.yml on what a probe sees; label threshold_metric says which metric.
  local ofProbes = ['threshold_metric=~"error_rate|throughput|.+_latency|time_to_first_token|tokens_per_second"'];
  // A threshold of the user's own mutes nothing, whatever its name is.
  local rule(source, target, equal) =
    { source_matchers: source + ['threshold_metric=""'], target_matchers: target, equal: equal };
  [
    // Without an exporter every other alert is a symptom or stale.
    rule(
      ['alertname="OpenAIExporterDown"'],
      ['alertname=~"OpenAI.+"', 'alertname!~"OpenAIExporterDown|OpenAIAlertDeliveryFailing|OpenAIRuleEvaluationFailing"'],
      environment,
    ),
    // The same alert, more urgent.
    rule(
      ['alertname=~"OpenAI.+"', 'severity="critical"'],
      ['severity=~"warning|info"'],
      probe + ['alertname', 'slo', 'organization', 'project_id', 'api_key_id', 'budget', 'id', 'dataset'],
    ),
    rule(
      ['alertname=~"OpenAI.+"', 'severity="warning"'],
      ['severity="info"'],
      probe + ['alertname', 'slo', 'organization', 'project_id', 'api_key_id', 'budget', 'id', 'dataset'],
    ),
    // All of a budget is also its share that warns.
    rule(
      ['alertname="OpenAIBudgetSpent"', 'threshold="full"'],
      ['alertname="OpenAIBudgetSpent"', 'threshold!="full"'],
      environment + ['organization', 'budget', 'id'],
    ),
    // One key explains what its organization spends.
    rule(
      ['alertname="OpenAIKeySpendSpike"', 'severity="critical"'],
      ['alertname=~"OpenAICostAnomaly|OpenAITokenUsageAnomaly"'],
      environment + ['organization'],
    ),
    // A target that is down, or refuses us, explains what its probes and limits say, and thresholds of the user's own.
    rule(
      ['alertname=~"OpenAITargetDown|OpenAICredentialsRejected|OpenAIQuotaExhausted|OpenAISpendLimitReached"', 'scope=""'],
      ofProbes,
      environment + ['target'],
    ),
    rule(
      ['alertname="OpenAIModelUnavailable"'],
      ofProbes,
      probe,
    ),
    rule(
      ['alertname=~"OpenAIProbeInvalid|OpenAIProbeCostLimited|OpenAIRateLimited"'],
      ofProbes + ['severity!="critical"'],
      probe,
    ),
    rule(
      ['alertname="OpenAIProbeNotRun"'],
      ofProbes + ['severity!="critical"'],
      environment + ['target'],
    ),
    rule(
      ['alertname="OpenAITargetDown"'],
      ['alertname=~"OpenAIAvailabilityBudgetBurn|OpenAILatencyBudgetBurn|OpenAIFirstTokenBudgetBurn|OpenAILatencyAnomaly|OpenAIProbeNearDeadline"'],
      environment + ['target'],
    ),
    rule(
      ['alertname=~"OpenAICredentialsRejected|OpenAIQuotaExhausted|OpenAISpendLimitReached"', 'scope=""'],
      ['alertname=~"OpenAISLOMetricAbsent|OpenAIRateLimited|OpenAIRateLimitHeadroomLow"'],
      environment + ['target'],
    ),
    rule(
      ['alertname="OpenAIModelUnavailable"'],
      ['alertname=~"OpenAISLOMetricAbsent|OpenAIModelNotListed"'],
      probe,
    ),
    rule(
      ['alertname=~"OpenAIProbeInvalid|OpenAIProbeCostLimited|OpenAIRateLimited"'],
      ['alertname="OpenAISLOMetricAbsent"'],
      probe,
    ),
    // Where nothing is probed, each probe says so.
    rule(
      ['alertname=~"OpenAIProbesMissing|OpenAIScrapeFailing"', 'severity="critical"'],
      ['alertname=~"OpenAIScrapeFailing|OpenAISLOMetricAbsent|OpenAIProbeNotRun"', 'severity="warning"'],
      environment,
    ),
    rule(['alertname=~"OpenAIProbesMissing|OpenAIScrapeFailing"', 'severity="critical"'], ofProbes, environment),
    // A probe that fails is also slow.
    rule(
      ['slo="availability"', 'severity="critical"'],
      ['slo=~"latency|first_token"'],
      probe,
    ),
    // What pages for a service level needs no threshold on the same thing.
    rule(['slo="availability"', 'severity="critical"'], ofProbes, probe),
    rule(
      ['slo="latency"', 'severity="critical"'],
      ['threshold_metric=~".+_latency|time_to_first_token|tokens_per_second"'],
      probe,
    ),
    rule(
      ['alertname="OpenAILatencyBudgetBurn"'],
      ['alertname=~"OpenAIFirstTokenBudgetBurn|OpenAILatencyAnomaly"'],
      probe,
    ),
    // OpenAI knows of it: warnings about the latency of its API add nothing. Pages still come, for they say that it hits us.
    rule(
      ['alertname="OpenAIStatusIncident"'],
      ['category="latency"', 'severity!="critical"', 'provider="openai"'],
      environment,
    ),
    // Old figures: what they say of spend is no news. Limits that the API enforces stay.
    rule(
      ['alertname="OpenAIUsageDataStale"', 'dataset!~"names|limits|peak_usage|cost_drift"'],
      ['category=~"cost|usage"', 'severity!="critical"'],
      environment + ['organization'],
    ),
    // A refresh that fails is told before its data is stale, and stale data before its budget burns.
    rule(
      ['alertname="OpenAIUsageRefreshFailing"', 'dataset=""'],
      ['alertname=~"OpenAIUsageDataStale|OpenAIFreshnessBudgetBurn|OpenAIExporterUpstreamFailing"'],
      environment + ['organization'],
    ),
    rule(
      ['alertname=~"OpenAIUsageRefreshFailing|OpenAIUsageDataStale"'],
      ['alertname="OpenAIFreshnessBudgetBurn"'],
      environment + ['organization', 'dataset'],
    ),
    rule(
      ['alertname="OpenAIUsageRefreshFailing"'],
      ['alertname="OpenAIUsageDataStale"'],
      environment + ['organization', 'dataset'],
    ),
  ]
