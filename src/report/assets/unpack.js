// What the page carries is packed: base64 of gzip, and numbers in columns (src/report/columns.h).

async function unpackText(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (character) => character.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

// The numbers of a column, whatever its form.
function readColumn(column, pool) {
  if (Array.isArray(column)) return column;
  if ("at" in column) return readColumn(pool[column.at], pool);
  if ("same" in column) return new Array(column.n).fill(column.same);
  if ("from" in column) return Array.from({ length: column.n }, (_, i) => column.from + i * column.by);
  if ("counts" in column) return column.counts.map((count) => count / column.per);
  return column.single.map(Math.fround);
}

// The steps of a run as the charts take them: {step, tokens, phase, lr, tokens_per_second, loss, routing: [{layer, mri, …, load}]}.
function readSteps(run, pool) {
  return (run.phases || []).flatMap((phase) => {
    const figures = readFigures(phase.columns, pool);
    const layers = phase.layers.map(({ layer, load, ...columns }) => ({ layer, figures: readFigures(columns, pool), loads: readColumn(load, pool) }));
    const rows = readColumn(phase.load_rows, pool);
    const loadAt = new Map(rows.map((row, i) => [row, i]));
    const loadOf = (loads, row) => {
      const experts = loads.length / rows.length;
      return loadAt.has(row) ? { load: loads.slice(loadAt.get(row) * experts, (loadAt.get(row) + 1) * experts) } : {};
    };
    return Array.from({ length: figures.length }, (_, row) => ({ phase: phase.name, ...figures.at(row),
      routing: layers.map(({ layer, figures: own, loads }) => ({ layer, ...own.at(row), ...loadOf(loads, row) })) }));
  });
}

function readFigures(columns, pool) {
  const read = Object.entries(columns).map(([key, column]) => [key, readColumn(column, pool)]);
  return { length: Math.max(0, ...read.map(([, values]) => values.length)), at: (row) => Object.fromEntries(read.map(([key, values]) => [key, values[row]])) };
}
