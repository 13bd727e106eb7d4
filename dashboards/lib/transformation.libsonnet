// SPDX-License-Identifier: Apache-2.0
// What a panel does with the answers of its queries before it draws them.
{
  // Rows of several queries that agree in all shared columns become one row.
  merge: { id: 'merge', options: {} },

  // Columns in this order under these headers: [['field', 'Header'], ...]; all others are dropped.
  columns(pairs):: [
    { id: 'filterFieldsByName', options: { include: { names: [pair[0] for pair in pairs] } } },
    {
      id: 'organize',
      options: {
        excludeByName: {},
        includeByName: {},
        indexByName: { [pairs[i][0]]: i for i in std.range(0, std.length(pairs) - 1) },
        renameByName: { [pair[0]]: pair[1] for pair in pairs },
      },
    },
  ],

  // A new column: `left` and `right` are fields, the operator one of + - * /.
  binary(alias, left, operator, right): {
    id: 'calculateField',
    options: {
      mode: 'binary',
      alias: alias,
      binary: { left: left, operator: operator, right: right },
      reduce: { reducer: 'sum' },
      replaceFields: false,
    },
  },

  // Times become text, such as the hour of the day (UTC) with format HH.
  timeAsText(format): {
    id: 'convertFieldType',
    options: {
      fields: {},
      conversions: [{ targetField: 'Time', destinationType: 'string', dateFormat: format, timezone: 'utc' }],
    },
  },

  // One row for each value of `by`; `fields` maps other fields to a reducer.
  groupBy(by, fields): {
    id: 'groupBy',
    options: {
      fields: { [by]: { operation: 'groupby', aggregations: [] } } + {
        [name]: { operation: 'aggregate', aggregations: [fields[name]] }
        for name in std.objectFields(fields)
      },
    },
  },

  sortBy(field, descending=false): { id: 'sortBy', options: { fields: {}, sort: [{ field: field, desc: descending }] } },
}
