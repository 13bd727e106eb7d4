// SPDX-License-Identifier: Apache-2.0
// A titled row of panels. Cells are [width, panel] in the grid's 24 columns; full lines follow each other.
local columns = 24;

// Places of cells from the left, a new line when the last is full: [{ x, line }].
local places(cells) =
  std.foldl(
    function(found, cell)
      local full = found.x + cell[0] > columns;
      local x = if full then 0 else found.x;
      local line = if full then found.line + 1 else found.line;
      { x: x + cell[0], line: line, list: found.list + [{ x: x, line: line }] },
    cells,
    { x: 0, line: 0, list: [] }
  );

{
  // new(title, panelHeight, cells): every panel of the row has the same height.
  new(title, panelHeight, cells):
    local placed = places(cells);
    assert placed.x == columns : 'row "%s": its last line is %d of %d columns wide' % [title, placed.x, columns];
    {
      height: 1 + panelHeight * (placed.line + 1),
      at(y): [
        {
          type: 'row',
          title: title,
          collapsed: false,
          panels: [],
          gridPos: { x: 0, y: y, w: columns, h: 1 },
        },
      ] + [
        cells[i][1] {
          gridPos: { x: placed.list[i].x, y: y + 1 + panelHeight * placed.list[i].line, w: cells[i][0], h: panelHeight },
        }
        for i in std.range(0, std.length(cells) - 1)
      ],
    },
}
