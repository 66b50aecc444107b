// The table. Only the visible rows are in the document, which keeps scrolling fast with thousands of utterances.
const EXTRA_ROWS = 6; // above and below the visible ones
const HEADERS = [["wer", "WER", "number"], ["id", "Id", ""], ["text", "Reference and hypothesis", ""], ["sec", "Sec", "number"], ["slice", "", ""]];
const grid = find("grid");
const body = find("grid-body");
const rowsNode = find("grid-rows");
const shown = new Map(); // rows in the document by their position

const rowHeight = () => parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row"));
const sliceName = () => data.columns[view.column] ?? "";

function drawHead() {
  const cells = HEADERS.map(([name, title, kind]) => {
    const text = name === "slice" ? sliceName() : title;
    const sorted = view.sort === name;
    const arrow = sorted ? (view.descending ? " ↓" : " ↑") : "";
    const button = element("button", { type: "button", "data-sort": name, text: text + arrow, tabindex: text ? "0" : "-1" });
    const state = sorted ? (view.descending ? "descending" : "ascending") : "none";
    return element("div", { role: "columnheader", class: `cell ${kind}`, "aria-sort": state }, button);
  });
  find("grid-head").replaceChildren(...cells);
}

// Reference and hypothesis in one line: equal words once, a substitution as both words.
function inlineDiff(utterance) {
  const cell = element("div", { role: "gridcell", class: "cell" });
  for (const step of readSteps(utterance.steps)) {
    if (step.mark === "") cell.append(step.ref, " ");
    else if (step.mark === "S") cell.append(element("span", { class: "S", text: `${step.ref} → ${step.hyp}` }), " ");
    else cell.append(element("span", { class: step.mark, text: step.ref ?? step.hyp }), " ");
  }
  return cell;
}

function makeRow(position) {
  const utterance = view.rows[position];
  const selected = utterance === view.selected;
  const row = element(
    "div",
    { role: "row", class: "row", id: `row-${utterance.index}`, "aria-rowindex": position + 2, "aria-selected": selected },
    element("div", { role: "gridcell", class: "cell number", text: percent(utterance.wer) }),
    element("div", { role: "gridcell", class: "cell", text: utterance.id, title: utterance.id }),
    inlineDiff(utterance),
    element("div", { role: "gridcell", class: "cell number", text: utterance.duration.toFixed(1) }),
    element("div", { role: "gridcell", class: "cell", text: utterance.columns[view.column] ?? "" }),
  );
  row.style.top = `${position * rowHeight()}px`;
  row.dataset.position = position;
  return row;
}

function drawRows() {
  const height = rowHeight();
  const first = Math.max(0, Math.floor(body.scrollTop / height) - EXTRA_ROWS);
  const last = Math.min(view.rows.length, Math.ceil((body.scrollTop + body.clientHeight) / height) + EXTRA_ROWS);
  for (const [position, row] of shown) {
    if (position < first || position >= last) { row.remove(); shown.delete(position); }
  }
  for (let position = first; position < last; position += 1) {
    if (shown.has(position)) continue;
    const row = makeRow(position);
    const after = [...shown.keys()].filter((known) => known > position).sort((a, b) => a - b)[0];
    rowsNode.insertBefore(row, after === undefined ? null : shown.get(after));
    shown.set(position, row);
  }
}

function drawGrid() {
  shown.clear();
  rowsNode.replaceChildren();
  rowsNode.style.height = `${view.rows.length * rowHeight()}px`;
  grid.setAttribute("aria-rowcount", view.rows.length + 1);
  grid.setAttribute("aria-colcount", HEADERS.length);
  drawHead();
  drawRows();
}

function updateGrid({ keep = false } = {}) {
  performance.mark("update-begin");
  selectRows();
  if (!keep) body.scrollTop = 0;
  drawGrid();
  const errors = view.rows.reduce((sum, row) => sum + (row.words ? row.errors : 0), 0);
  const words = view.rows.reduce((sum, row) => sum + row.words, 0);
  const rate = words ? `, WER ${percent((100 * errors) / words)} %` : "";
  find("count").textContent = `${view.rows.length.toLocaleString("en")} of ${plural(utterances.length, "utterance")}${rate}`;
  performance.measure("update", "update-begin");
}

function scrollToRow(position) {
  const height = rowHeight();
  const top = position * height;
  if (top < body.scrollTop) body.scrollTop = top;
  else if (top + height > body.scrollTop + body.clientHeight) body.scrollTop = top + height - body.clientHeight;
}

function select(position) {
  if (!view.rows.length) return;
  const nearest = Math.min(Math.max(position, 0), view.rows.length - 1);
  const before = view.selected;
  view.selected = view.rows[nearest];
  scrollToRow(nearest);
  drawRows();
  for (const utterance of [before, view.selected]) {
    const row = utterance && document.getElementById(`row-${utterance.index}`);
    if (row) row.setAttribute("aria-selected", utterance === view.selected);
  }
  grid.setAttribute("aria-activedescendant", `row-${view.selected.index}`);
  showDetail(view.selected);
}

const selectedPosition = () => view.rows.indexOf(view.selected);
const move = (by) => select(view.selected && selectedPosition() >= 0 ? selectedPosition() + by : 0);

function sortBy(name) {
  view.descending = view.sort === name ? !view.descending : name === "wer";
  view.sort = name;
  updateGrid();
  find("grid-head").querySelector(`[data-sort="${name}"]`).focus({ preventScroll: true });
}

let framePending = false;
body.addEventListener("scroll", () => {
  if (framePending) return;
  framePending = true;
  requestAnimationFrame(() => { framePending = false; drawRows(); });
});
body.addEventListener("click", (event) => {
  const row = event.target.closest("[data-position]");
  if (row) select(Number(row.dataset.position));
});
find("grid-head").addEventListener("click", (event) => {
  const button = event.target.closest("[data-sort]");
  if (button) sortBy(button.dataset.sort);
});
let widthBefore = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth !== widthBefore) { widthBefore = window.innerWidth; drawGrid(); } else drawRows();
});
