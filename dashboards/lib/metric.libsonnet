// SPDX-License-Identifier: Apache-2.0
// Names of the exporter's metrics as pages use them; a misspelt one does not compile. A test holds them to the catalogue.
local named(prefix, names, suffix='') = { [name]: prefix + name + suffix for name in names };

{
  probe:
    named('probe_', ['success', 'duration_seconds', 'timeout_seconds', 'http_status_code', 'http_duration_seconds', 'ssl_earliest_cert_expiry', 'failed_due_to_regex'])
    + named('openai_probe_', [
      'outcome',
      'availability_valid',
      'availability_good',
      'connection_reused',
      'time_to_first_event_seconds',
      'time_to_first_token_seconds',
      'inter_token_seconds_mean',
      'inter_token_seconds_max',
      'output_tokens_per_second',
      'tokens',
      'server_processing_seconds',
      'network_seconds',
      'cost_usd',
      'cached_age_seconds',
      'last_result_timestamp_seconds',
      'backoff_seconds',
      'cost_limited',
      'model_info',
      'model_listed',
    ]),
  // Added up over probes.
  api:
    named('openai_api_', ['latency_seconds', 'time_to_first_token_seconds'], '_bucket')
    + named('openai_api_', ['requests', 'errors', 'tokens'], '_total')
    + named('openai_probe_', ['cost_usd', 'unpriced', 'cached_answers', 'not_sent'], '_total'),
  limit: named('openai_api_rate_limit_', ['limit', 'remaining', 'reset_seconds']),
  model: named('openai_model_', ['info', 'created_timestamp_seconds', 'shutdown_timestamp_seconds']),
  status: named('openai_status_', ['up', 'component', 'incident', 'last_success_timestamp_seconds']),
  // Counters since the first of the month.
  usage: named('openai_usage_', [
    'requests',
    'input_tokens',
    'input_cached_tokens',
    'input_cache_write_tokens',
    'output_tokens',
    'audio_input_tokens',
    'audio_output_tokens',
    'images',
    'characters',
    'audio_seconds',
    'tool_calls',
    'sessions',
    'estimated_cost_usd',
    'unpriced_tokens',
    'corrections',
  ], '_total'),
  // Levels, and how fresh the figures are.
  refresh: named('openai_usage_', [
    'vector_store_bytes',
    'previous_month',
    'previous_month_late',
    'up',
    'last_success_timestamp_seconds',
    'newest_bucket_timestamp_seconds',
    'series',
    'series_dropped',
    'refresh_duration_seconds',
    'refresh_calls',
    'clock_offset_seconds',
  ]),
  costs: named('openai_costs_', ['month_to_date_usd', 'day_usd', 'previous_month_usd', 'skipped_rows']),
  // Both sides of the same days, by model.
  drift: named('openai_cost_drift_', ['estimated_usd', 'billed_usd', 'unmatched_usd', 'day_timestamp_seconds']),
  budget: named('openai_budget_', ['limit_usd', 'spent_usd', 'remaining_usd', 'warn_ratio']),
  credit: named('openai_credit_', ['balance_usd', 'exhausted_timestamp_seconds']),
  spend: named('openai_spend_', ['limit_usd', 'limit_enforcing', 'alert_threshold_usd']),
  project: named('openai_project_', ['info', 'rate_limit_requests_per_minute', 'rate_limit_tokens_per_minute', 'peak_requests_per_minute', 'peak_tokens_per_minute']),
  key: named('openai_api_key_', ['info', 'last_used_timestamp_seconds', 'expires_timestamp_seconds', 'created_timestamp_seconds']),
  user: named('openai_user_', ['info']),
  exporter:
    named('openai_exporter_', [
      'build_info',
      'price_table_info',
      'config_last_reload_successful',
      'config_last_reload_success_timestamp_seconds',
      'probes_in_flight',
      'storage_last_write_successful',
    ])
    + named('openai_exporter_', ['upstream_calls', 'upstream_failures', 'requests_refused', 'unknown_names', 'storage_failures'], '_total'),
  process: named('process_', ['cpu_seconds_total', 'resident_memory_bytes', 'start_time_seconds', 'open_fds']),
  // Prometheus' own, for each target and alert.
  scrape: { up: 'up', duration_seconds: 'scrape_duration_seconds', samples: 'scrape_samples_scraped', alerts: 'ALERTS', active: 'ALERTS_FOR_STATE' },
}
