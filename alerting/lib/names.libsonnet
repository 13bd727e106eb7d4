// SPDX-License-Identifier: Apache-2.0
// Joins names to ids, so that alerts name what people know; what has no name stays as it is.
local text = import 'text.libsonnet';

{
  // Adds label api_key where openai_api_key_info knows the id. `expr` has labels job, organization, api_key_id.
  // While a key is renamed, two replicas may know it by two names; topk takes one, or the join would fail.
  key(config, expr):: text.fill(|||
    (%(expr)s)
    * on (job, organization, api_key_id) group_left (api_key)
    topk by (job, organization, api_key_id) (
      1, max by (job, organization, api_key_id, api_key) (openai_api_key_info{%(selector)s})
    )
    or on (job, organization, api_key_id)
    (%(expr)s)
  |||, { expr: expr, selector: config.selector }),

  // Words for a key in descriptions: its name with the id, or the id alone.
  keyWords: '{{ with $labels.api_key }}{{ . }}, {{ end }}{{ $labels.api_key_id }}',
}
