// Fills the page and connects keys and controls.
function show(id, ...nodes) {
  find(`${id}-section`).hidden = false;
  find(id).replaceChildren(...nodes);
}

function drawScores() {
  find("title").textContent = data.title;
  find("subtitle").replaceChildren(...data.subtitle.map((text) => element("span", { text })));
  find("headline").replaceChildren(...data.headline.map((score) => element(
    "div", { class: "card" },
    element("dt", { text: score.label }),
    element("dd", { class: "value", text: `${percent(score.value)} %` }),
    element("dd", { class: "range", text: range(score) ? `${data.interval} ${range(score)}` : "" }),
    element("dd", { class: "count", text: score.count === null ? "" : `of ${plural(score.count, score.counted)}` }),
  )));
  if (data.corpora.length) {
    const scores = data.corpora[0][1].map((score) => [score.label, "number"]);
    const rows = data.corpora.map(([name, row]) => [name, ...row.map((score) => (score === null ? "–" : describe({ ...score, count: null })))]);
    const title = `Scores by corpus, each with its ${data.interval}`;
    show("corpora", table([["Corpus", ""], ...scores], rows, title), element("p", { class: "help", text: title }));
  }
  if (data.scorecard.length) show("scorecard", scoreTable("Score", "%", data.scorecard, "Scorecard"));
  if (data.levels.length) {
    const rows = data.levels.map(([level, rate]) => [level, percent(rate)]);
    show("levels", table([["Text", ""], ["WER %", "number"]], rows, "WER by normalisation level"));
  }
  if (data.confusions.length) {
    const rows = data.confusions.map(([ref, hyp, times]) => [ref, hyp, times.toLocaleString("en")]);
    show("confusions", table([["Reference", ""], ["Hypothesis", ""], ["Count", "number"]], rows, "Most confused words"));
  }
}

// A row for each alert: what was cleared and not read back, or read back as another value.
function drawReadback() {
  if (!data.readback) return;
  const { count: clearances, alerts } = data.readback;
  const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
  const rows = alerts.map(([file, start, callsign, clearance, readback, faults]) => [
    `${file.split("/").pop()} ${clock(start)}`, callsign ?? "",
    faults.map(([kind, cleared, read]) => `${kind.replaceAll("_", " ")} ${cleared} ${read === null ? "not read back" : `read back as ${read}`}`).join(", "),
    Math.max(...faults.map((fault) => fault[3])).toFixed(2), clearance, readback ?? "no readback",
  ]);
  find("readback-count").textContent = `${plural(alerts.length, "alert")} in ${plural(clearances, "clearance")}.`;
  const headers = [["Recording", ""], ["Call sign", "number"], ["Alert", ""], ["Confidence", "number"], ["Clearance", ""], ["Readback", ""]];
  show("readback", ...(rows.length ? [table(headers, rows, "Readback alerts")] : []));
}

function drawCharts() {
  if (data.charts.length) show("charts", ...data.charts.map(lineChart));
}

// Slices that are ranges of a measured value; their groups are named `< 2 s`, `2-4 s`, `>= 4 s`.
const MEASURED = { duration: "sec", "speaking rate": "wpm" };
function rangeQuery(field, group) {
  const [, below, low, high, above] = /^(?:< ([\d.]+)|([\d.]+)-([\d.]+)|>= ([\d.]+)) /.exec(group) ?? [];
  if (below) return `${field}<${below}`;
  if (above) return `${field}>=${above}`;
  return low ? `${field}>=${low} ${field}<${high}` : null;
}

// Shows the utterances of a group in the table.
function showGroup(slice, group) {
  const column = data.columns.indexOf(slice);
  const query = Object.hasOwn(MEASURED, slice) ? rangeQuery(MEASURED[slice], group) : null;
  if (column >= 0) {
    view.column = column;
    view.value = group;
    fillValues();
  } else if (query) {
    view.query = find("search").value = query;
  } else return;
  updateGrid();
  find("utterances").scrollIntoView();
}

function drawSlices() {
  const names = Object.keys(data.slices);
  if (!names.length) return;
  show("slices");
  const chooser = find("slice-name");
  chooser.replaceChildren(...names.map((name) => element("option", { text: name })));
  const draw = () => {
    const name = chooser.value;
    const title = `Word error rate by ${name}`;
    const rows = data.slices[name];
    const width = find("slices").clientWidth - 20;
    const canShow = data.columns.includes(name) || Object.hasOwn(MEASURED, name);
    const onClick = canShow ? (row) => showGroup(name, row.label) : null;
    const chart = intervalChart({ title, rows, xLabel: "WER, %", width, onClick });
    const summary = element("summary", { text: "Show as a table" });
    const details = element("details", {}, summary, scoreTable(name, "WER %", rows, title));
    find("slices").replaceChildren(scrollable(chart, title), details);
  };
  chooser.addEventListener("change", draw);
  draw();
}

function fillValues() {
  const values = [...new Set(utterances.map((utterance) => utterance.columns[view.column] ?? ""))].sort(byName.compare);
  const options = values.filter((value) => value !== "").map((value) => element("option", { value, text: value }));
  find("value").replaceChildren(element("option", { value: "", text: "any" }), ...options);
  find("value").value = view.value;
  find("column").value = view.column;
}

// The column with the fewest groups, at least two.
function fewestGroups() {
  const sizes = data.columns.map((_, column) => new Set(utterances.map((utterance) => utterance.columns[column])).size);
  const useful = sizes.filter((size) => size > 1);
  return useful.length ? sizes.indexOf(Math.min(...useful)) : 0;
}

function fillColumns() {
  view.column = fewestGroups();
  find("column").replaceChildren(...data.columns.map((name, column) => element("option", { value: column, text: name })));
  find("column").parentElement.hidden = find("value").parentElement.hidden = data.columns.length === 0;
  find("search-help").textContent = `Also: ${["id", "ref", "hyp", ...data.columns].map((name) => `${name}:…`).join(" ")}${hasSlots ? " slot:altitude=5000 slot:doubtful" : ""} "two words" wer>20 wer=0 sec<3 wpm>200 words>=5 errors>2`;
  fillValues();
}

let theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
function setTheme(name) {
  theme = name;
  document.documentElement.dataset.theme = name;
  find("theme").textContent = name === "dark" ? "Light mode" : "Dark mode";
}

const typing = (target) => target.closest("input, select, textarea, audio, summary");
const KEYS = {
  j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1),
  p: playOrPause, " ": playOrPause, Enter: playOrPause,
  Home: () => select(0), End: () => select(view.rows.length - 1), PageDown: () => move(10), PageUp: () => move(-10),
  "/": () => find("search").focus(),
};
const GLOBAL_KEYS = new Set(["j", "k", "p", "/"]); // the other keys act on the table only while it has the focus

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && typing(event.target)) { grid.focus(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (!Object.hasOwn(KEYS, key) || !(GLOBAL_KEYS.has(key) || event.target === grid || event.target === body)) return;
  event.preventDefault();
  KEYS[key]();
});
find("previous").addEventListener("click", () => move(-1));
find("next").addEventListener("click", () => move(1));
find("play").addEventListener("click", playOrPause);
find("theme").addEventListener("click", () => setTheme(theme === "dark" ? "light" : "dark"));
find("slots").addEventListener("click", (event) => {
  if (event.target.dataset.query) { view.query = find("search").value = event.target.dataset.query; updateGrid(); }
});
find("search").addEventListener("input", (event) => { view.query = event.target.value; updateGrid(); });
find("column").addEventListener("change", (event) => { view.column = Number(event.target.value); view.value = ""; fillValues(); updateGrid({ keep: true }); });
find("value").addEventListener("change", (event) => { view.value = event.target.value; updateGrid(); });

setTheme(theme);
drawScores();
drawCharts();
drawSlices();
drawReadback();
fillColumns();
updateGrid();
select(0);
performance.mark("ready");

// Prepares what the first search and the first sort by name need, while the browser is idle.
const whenIdle = window.requestIdleCallback ?? ((work) => setTimeout(work, 200));
whenIdle(() => { utterances.forEach(searchable); ORDERS.id(); ORDERS.slice(); });
