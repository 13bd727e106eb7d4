// SPDX-License-Identifier: Apache-2.0
// Rows and columns; one row for each thing, so that its CSV can be used as it is.
local mapping = import '../mapping.libsonnet';
local override = import '../override.libsonnet';
local threshold = import '../threshold.libsonnet';
local transformation = import '../transformation.libsonnet';
local common = import 'common.libsonnet';

{
  new(title, description, unit, queries):
    // The unit is that of the panel's figures; text columns keep out of its way.
    common.base('table', title, description, unit, queries)
    + common.withThresholds(threshold.plain())
    + common.withColorScheme('thresholds')
    + common.withMappings([mapping.none('–')])
    + common.withOverrides([override.byRegexp('.*', [override.noValue('–')])])
    + {
      fieldConfig+: { defaults+: { custom: { align: 'auto', cellOptions: { type: 'auto' }, filterable: false, inspect: false, minWidth: 70 } } },
      options: { showHeader: true, cellHeight: 'sm', sortBy: [] },
    },

  // Joins the queries' rows and shows these columns: [['field', 'Header'], ...]; `computed` adds columns before.
  withColumns(pairs, computed=[]):
    common.withTransformations([transformation.merge] + computed + transformation.columns(pairs)),
  // Rows that say why there is nothing lead nowhere: the columns that begin with one of these words have no links.
  withoutLinks(words): common.withOverrides([override.byFirst(each, [override.links([])]) for each in words]),
  withSort(header, descending=true): { options+: { sortBy+: [{ displayName: header, desc: descending }] } },
}
