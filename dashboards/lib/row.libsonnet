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
  // `collapsed` rows show their title only; Grafana reads their panels when they are opened.
  new(title, panelHeight, cells, collapsed=false):
    local placed = places(cells);
    assert placed.x == columns : 'row "%s": its last line is %d of %d columns wide' % [title, placed.x, columns];
    {
      height: if collapsed then 1 else 1 + panelHeight * (placed.line + 1),
      at(y):
        local panels = [
          cells[i][1] {
            gridPos: { x: placed.list[i].x, y: y + 1 + panelHeight * placed.list[i].line, w: cells[i][0], h: panelHeight },
          }
          for i in std.range(0, std.length(cells) - 1)
        ];
        [{
          type: 'row',
          title: title,
          collapsed: collapsed,
          panels: if collapsed then panels else [],
          gridPos: { x: 0, y: y, w: columns, h: 1 },
        }] + (if collapsed then [] else panels),
    },

  collapsed(title, panelHeight, cells): self.new(title, panelHeight, cells, collapsed=true),

  // Panels with ids from `first` on, those of collapsed rows after their row.
  numbered(panels, first=1):
    std.foldl(
      function(found, panel)
        local inner = std.get(panel, 'panels', []);
        {
          next: found.next + 1 + std.length(inner),
          list: found.list + [panel { id: found.next } + (if inner == [] then {} else {
                                                            panels: std.mapWithIndex(function(i, each) each { id: found.next + 1 + i }, inner),
                                                          })],
        },
      panels,
      { next: first, list: [] }
    ).list,
}
