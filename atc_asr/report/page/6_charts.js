// Charts (SVG) and tables.
const SVG = "http://www.w3.org/2000/svg";

const shape = (name, properties = {}, ...children) => fill(document.createElementNS(SVG, name), properties, children);

// Multiples of 1, 2 or 5 times a power of ten in [low, high], about `count` of them.
function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const values = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step) values.push(Number(value.toPrecision(12)));
  return values;
}

function lineChart({ title, y_label: yLabel, epochs, series }) {
  const [width, height, left, right, top, bottom] = [400, 220, 46, 12, 10, 40];
  const names = Object.keys(series);
  const values = Object.values(series).flat().filter((value) => value !== null);
  const marks = ticks(Math.min(...values, 0), Math.max(...values, 0), 5);
  const step = marks[1] - marks[0];
  const low = Math.min(...values, 0);
  const high = Math.max(marks[marks.length - 1], Math.ceil(Math.max(...values, 0) / step) * step || 0);
  const [first, last] = [epochs[0], epochs[epochs.length - 1]];
  const toX = (value) => left + ((value - first) / (last - first || 1)) * (width - left - right);
  const toY = (value) => top + (1 - (value - low) / (high - low || 1)) * (height - top - bottom);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
  for (const value of ticks(low, high, 5)) {
    svg.append(shape("line", { class: "axis", x1: left, x2: width - right, y1: toY(value), y2: toY(value) }));
    svg.append(shape("text", { x: left - 6, y: toY(value) + 4, "text-anchor": "end", text: value }));
  }
  for (const value of ticks(first, last, 6).filter(Number.isInteger)) {
    svg.append(shape("text", { x: toX(value), y: height - bottom + 16, "text-anchor": "middle", text: value }));
  }
  svg.append(shape("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle", text: "epoch" }));
  names.forEach((name, index) => {
    const stroke = `var(--series-${index + 1})`;
    const points = epochs.map((epoch, place) => [epoch, series[name][place]]).filter(([, value]) => value !== null);
    const line = shape("polyline", { class: "line", points: points.map(([a, b]) => `${toX(a)},${toY(b)}`).join(" ") });
    line.style.stroke = stroke;
    svg.append(line);
    points.forEach(([a, b]) => {
      const dot = shape("circle", { cx: toX(a), cy: toY(b), r: 2.5 }, shape("title", { text: `${name}, epoch ${a}: ${b}` }));
      dot.style.fill = stroke;
      svg.append(dot);
    });
  });
  const caption = element("figcaption", {}, `${yLabel}: `);
  names.forEach((name, index) => {
    const entry = element("span", { text: `● ${name}  ` });
    entry.style.color = `var(--series-${index + 1})`;
    caption.append(entry);
  });
  return element("figure", {}, svg, caption);
}

function intervalChart({ title, rows, xLabel, width, onClick }) {
  const [left, right, top, rowHeight] = [Math.min(170, width * 0.34), 60, 40, 24];
  const height = rows.length * rowHeight + top;
  const longest = Math.floor(left / 7);
  const high = Math.max(...rows.map((row) => row.high ?? row.value ?? 0), 1);
  const toX = (value) => left + (value / high) * (width - left - right);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
  svg.append(shape("text", { x: (left + width - right) / 2, y: 13, "text-anchor": "middle", text: xLabel }));
  for (const value of ticks(0, high, 5)) {
    svg.append(shape("line", { class: "axis", x1: toX(value), x2: toX(value), y1: top - 4, y2: height }));
    svg.append(shape("text", { x: toX(value), y: top - 10, "text-anchor": "middle", text: value }));
  }
  rows.forEach((row, index) => {
    const y = top + index * rowHeight + rowHeight / 2;
    const name = row.label.length > longest ? `${row.label.slice(0, longest - 1)}…` : row.label;
    const group = shape("g", {}, shape("title", { text: `${row.label}: ${describe(row)}` }));
    group.append(shape("text", { x: left - 8, y: y + 4, "text-anchor": "end", text: name }));
    if (row.low !== null && row.high !== null) {
      group.append(shape("line", { class: "whisker", x1: toX(row.low), x2: toX(row.high), y1: y, y2: y }));
    }
    if (row.value !== null) group.append(shape("circle", { class: "mark", cx: toX(row.value), cy: y, r: 4.5 }));
    group.append(shape("text", { x: width - right + 8, y: y + 4, text: row.count === null ? "" : `n = ${row.count}` }));
    if (onClick) { group.style.cursor = "pointer"; group.addEventListener("click", () => onClick(row)); }
    svg.append(group);
  });
  return element("figure", {}, svg);
}

const range = (row) => (row.low === null || row.high === null ? "" : `${percent(row.low)} to ${percent(row.high)}`);
const count = (row) => (row.count === null ? "" : row.count.toLocaleString("en"));
const describe = (row) => `${percent(row.value)} %${range(row) ? `, ${range(row)}` : ""}${row.count === null ? "" : `, n = ${row.count}`}`;

function table(headers, rows, label) {
  const head = element("tr", {}, ...headers.map(([text, kind]) => element("th", { scope: "col", class: kind, text })));
  const lines = rows.map((cells) => element("tr", {}, ...cells.map((text, index) => (
    index === 0 ? element("th", { scope: "row", text }) : element("td", { class: headers[index][1], text })))));
  const node = element("table", { class: "plain", "aria-label": label }, element("thead", {}, head), element("tbody", {}, ...lines));
  return scrollable(node, label);
}

const scrollable = (node, label) => element("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": label }, node);

function scoreTable(name, unit, scores, label) {
  const rows = scores.map((score) => [score.label, percent(score.value), range(score), count(score)]);
  return table([[name, ""], [unit, "number"], [data.interval, "number"], ["n", "number"]], rows, label);
}
