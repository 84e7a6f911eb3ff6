// Vega-Lite specifications of the charts. Each function takes a board's data and returns a specification.

const LIGHT = ["#3a6ea5", "#d1453b", "#1f8a7c", "#b47400", "#7d55a8", "#4b8f42", "#c2587f", "#7d5f45"];
const DARK = ["#7aa6d8", "#ff8078", "#4fc3b0", "#e8ab3a", "#b897e0", "#86cc7c", "#f09bbd", "#c4a488"];
const DASHES = [[1, 0], [7, 3], [2, 3], [9, 3, 2, 3]];
const SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"];

const isDark = () => {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

/** Colour, dash and shape of each method, which do not depend on the methods that are hidden. */
function marksOf(rows) {
  const colours = isDark() ? DARK : LIGHT;
  return new Map(rows.map((row, i) => [row.name, {
    colour: colours[i % colours.length],
    dash: DASHES[Math.floor(i / colours.length) % DASHES.length],
    shape: SHAPES[i % SHAPES.length],
  }]));
}

/** Scales that give methods their colours, dashes and shapes. */
function scalesOf(rows) {
  const marks = marksOf(rows), domain = [...marks.keys()];
  const scale = (name) => ({
    field: "name", legend: null, scale: { domain, range: [...marks.values()].map((mark) => mark[name]) },
  });
  return { color: scale("colour"), strokeDash: scale("dash"), shape: scale("shape") };
}

const FORMATS = { f1: ".1f", low: ".1f", high: ".1f" };
const tooltip = (...pairs) => pairs.map(([field, title]) => ({ field, title, ...(field in FORMATS && { format: FORMATS[field] }) }));
const TIP = tooltip(["name", "method"], ["f1", "F1 in %"], ["low", "95 % from"], ["high", "to"]);
const F1_AXIS = { scale: { zero: false, padding: 10 }, axis: { tickCount: 8 }, title: "F1 in %" };

/** A vertical or horizontal line at the F1 of always-positive. */
function alwaysLine(board, axis) {
  return {
    data: { values: [{ f1: board.always, text: "always positive" }] },
    layer: [
      { mark: { type: "rule", strokeDash: [4, 4], opacity: 0.7 } },
      axis === "x"
        ? { mark: { type: "text", align: "left", dx: 4, y: -7 }, encoding: { text: { field: "text" } } }
        : { mark: { type: "text", align: "right", dy: -7, x: "width" }, encoding: { text: { field: "text" } } },
    ],
    encoding: { [axis]: { field: "f1", type: "quantitative" } },
  };
}

function seedsChart(board, rows) {
  const y = { field: "name", type: "nominal", sort: null, title: null };
  const points = rows.flatMap((row) => row.seeds.map(([seed, f1]) => ({ ...row, seed, f1 })));
  return {
    height: 26 * rows.length, data: { values: rows },
    layer: [
      alwaysLine(board, "x"),
      { mark: { type: "rule", strokeWidth: 2 }, encoding: { y, x: { field: "low", type: "quantitative", ...F1_AXIS }, x2: { field: "high" } } },
      {
        data: { values: points }, mark: { type: "point", size: 34, opacity: 0.9, yOffset: 0 },
        encoding: { y, x: { field: "f1", type: "quantitative" }, tooltip: tooltip(["name", "method"], ["seed", "seed"], ["f1", "F1 in %"]) },
      },
      { mark: { type: "point", filled: true, size: 110, cursor: "pointer" }, encoding: { y, x: { field: "f1", type: "quantitative" }, tooltip: TIP } },
      {
        mark: { type: "text", align: "left", dx: 8, x: "width" },
        encoding: { y, text: { field: "f1", format: ".1f" } },
      },
    ],
  };
}

function ranksChart(board, rows) {
  const y = { field: "name", type: "nominal", sort: null, title: null };
  const values = rows.map((row) => ({ ...row, from: row.rank - 0.42, to: row.last_rank + 0.42, text: row.rank === row.last_rank ? `${row.rank}` : `${row.rank} to ${row.last_rank}` }));
  const ticks = Array.from({ length: rows.length }, (_, i) => i + 1);
  return {
    height: 26 * rows.length, data: { values },
    encoding: { y },
    layer: [
      {
        mark: { type: "bar", height: 14, cornerRadius: 7, cursor: "pointer" },
        encoding: {
          x: { field: "from", type: "quantitative", title: "rank", scale: { domain: [0.4, board.charts.length + 0.9], nice: false }, axis: { values: ticks.length > 30 ? undefined : ticks, format: "d" } },
          x2: { field: "to" }, tooltip: tooltip(["name", "method"], ["text", "ranks"], ["f1", "F1 in %"]),
        },
      },
      { mark: { type: "text", align: "left", dx: 6 }, encoding: { x: { field: "to", type: "quantitative" }, text: { field: "text" } } },
    ],
  };
}

/** Heights of labels, moved apart where points are close in both directions. */
function withLabels(rows, cost, isLog, height) {
  const along = (value) => (isLog ? Math.log(value) : value);
  const xs = rows.map((row) => along(row[cost])), ys = rows.flatMap((row) => [row.low, row.high]);
  const near = 0.22 * (Math.max(...xs) - Math.min(...xs) || 1), gap = (14 / height) * (Math.max(...ys) - Math.min(...ys) || 1);
  const placed = [];
  for (const row of [...rows].sort((a, b) => b.f1 - a.f1)) {
    const above = placed.filter((other) => Math.abs(along(other[cost]) - along(row[cost])) < near).map((other) => other.label - gap);
    placed.push({ ...row, label: Math.min(row.f1, ...above) });
  }
  return placed;
}

function costChart(board, rows, cost, title) {
  const known = rows.filter((row) => row[cost] !== null && row[cost] > 0);
  const costs = known.map((row) => row[cost]), least = Math.min(...costs), most = Math.max(...costs);
  const isLog = most > 6 * least, height = 380;
  const range = least === most ? { domain: [0, 2 * least] } : { zero: false, padding: 40 }; // one value has no ticks
  const x = { field: cost, type: "quantitative", title, scale: isLog ? { type: "log", nice: false, padding: 40 } : range, axis: { tickCount: 6 } };
  const scales = scalesOf(board.charts);
  const label = (style) => ({
    mark: { type: "text", align: "left", dx: 9, cursor: "pointer", ...style },
    encoding: { x, y: { field: "label", type: "quantitative" }, text: { field: "name" } },
  });
  return {
    height, data: { values: withLabels(known, cost, isLog, height) },
    layer: [
      alwaysLine(board, "y"),
      {
        transform: [{ filter: `datum.pareto_${cost}` }],
        mark: { type: "line", interpolate: "step-after", strokeWidth: 1.5, strokeDash: [5, 3] },
        encoding: { x, y: { field: "f1", type: "quantitative", ...F1_AXIS }, order: { field: cost } },
      },
      { mark: { type: "rule", strokeWidth: 1.5, opacity: 0.6 }, encoding: { x, y: { field: "low", type: "quantitative", ...F1_AXIS }, y2: { field: "high" }, color: scales.color } },
      {
        mark: { type: "point", filled: true, size: 90, cursor: "pointer", opacity: 1 },
        encoding: { x, y: { field: "f1", type: "quantitative" }, color: scales.color, shape: scales.shape, tooltip: [...TIP, ...tooltip([cost, title])] },
      },
      label({ stroke: backgroundColour(), strokeWidth: 4, strokeJoin: "round" }),
      label({}),
    ],
  };
}

function linesChart(board, values, x) {
  const scales = scalesOf(board.charts);
  const y = { field: "f1", type: "quantitative", ...F1_AXIS };
  const isNominal = x.type === "nominal";
  return {
    height: 380, data: { values },
    layer: [
      alwaysLine(board, "y"),
      {
        mark: { type: "line", strokeWidth: isNominal ? 0.7 : 2, opacity: isNominal ? 0.6 : 1 },
        encoding: { x, y, color: scales.color, strokeDash: scales.strokeDash },
      },
      {
        mark: { type: "point", filled: true, size: 55, cursor: "pointer", opacity: 1 },
        encoding: { x, y, color: scales.color, shape: scales.shape, tooltip: [...tooltip(["name", "method"], [x.field, x.title], ["f1", "F1 in %"])] },
      },
    ],
  };
}

function robustnessChart(board, rows, series) {
  const values = rows.flatMap((row) => row.robustness.filter((point) => point.series === series)
    .map((point) => ({ id: row.id, name: row.name, x: point.x, f1: point.f1 })));
  const isNominal = values.some((point) => typeof point.x === "string");
  const x = isNominal
    ? { field: "x", type: "nominal", sort: null, title: "inputs", axis: { labelAngle: 0, labelLimit: 120 } }
    : { field: "x", type: "quantitative", title: `level of ${series.replace(":", " on ")}`, axis: { tickCount: 8 } };
  return linesChart(board, values, x);
}

function learningChart(board, rows) {
  const values = rows.flatMap((row) => row.learning.map(([frames, f1]) => ({ id: row.id, name: row.name, frames, f1 })));
  const chart = linesChart(board, values, { field: "frames", type: "quantitative", title: "thousand frames of supervised training per fold", axis: { tickCount: 8 } });
  chart.layer.shift(); // always-positive is of the test role, these curves are of validation
  chart.layer[1].mark.size = 18;
  return chart;
}

const CHARTS = {
  seeds: (board, rows) => seedsChart(board, rows),
  ranks: (board, rows) => ranksChart(board, rows),
  gflops: (board, rows) => costChart(board, rows, "gflops", "GFLOPs per frame"),
  hours: (board, rows) => costChart(board, rows, "hours", "hours of a run"),
  robustness: (board, rows, state) => robustnessChart(board, rows, state.series),
  learning: (board, rows) => learningChart(board, rows),
};

const backgroundColour = () => getComputedStyle(document.body).backgroundColor;

/** Colours of all charts, taken from the page's style. */
function chartConfig() {
  const ink = getComputedStyle(document.body).color;
  const quiet = getComputedStyle(document.querySelector("footer")).color;
  const line = getComputedStyle(document.querySelector("#views")).borderBottomColor;
  const accent = (isDark() ? DARK : LIGHT)[0];
  const font = getComputedStyle(document.body).fontFamily, title = { titleColor: quiet, titleFontWeight: "normal" };
  return {
    background: "transparent", font,
    view: { stroke: null },
    axis: { labelColor: ink, gridColor: line, domainColor: line, tickColor: line, labelFontSize: 12, titleFontSize: 12, labelLimit: 190, ...title },
    text: { color: ink, fontSize: 12 }, rule: { color: quiet }, line: { color: quiet }, point: { color: accent }, bar: { color: accent },
  };
}

globalThis.leaderboardCharts = { CHARTS, chartConfig, isDark, marksOf };
