// Everything put in its place.
function show(id) { find(`${id}-section`).hidden = false; }

function drawFigures() {
  find("title").textContent = data.title;
  find("facts").replaceChildren(...data.facts.map((text) => element("span", { text })));
  find("headline").replaceChildren(...data.headline.map((figure) => element(
    "div", { class: "card" },
    element("dt", { text: figure.label }),
    element("dd", { class: "value", text: `${percent(figure.value)} %` }),
    element("dd", { class: "range", text: range(figure) ? `${data.interval} ${range(figure)}` : "" }),
    element("dd", { class: "population", text: figure.population === null ? "" : `of ${plural(figure.population, figure.unit)}` }),
  )));
  if (data.scorecard.length) {
    show("scorecard");
    const rows = data.scorecard.map((figure) => [figure.label, percent(figure.value), range(figure), figure.population === null ? "" : figure.population.toLocaleString("en")]);
    const headers = [["Score", ""], ["%", "number"], [data.interval, "number"], ["population", "number"]];
    find("scorecard").replaceChildren(table(headers, rows, "Scorecard"));
  }
  if (data.ladder.length) {
    show("ladder");
    const rows = data.ladder.map(([rung, rate]) => [rung, percent(rate)]);
    find("ladder").replaceChildren(table([["Normalisation", ""], ["WER %", "number"]], rows, "Normalisation ladder"));
  }
  if (data.confusions.length) {
    show("confusions");
    const rows = data.confusions.map(([ref, hyp, count]) => [ref ?? "∅ (inserted)", hyp ?? "∅ (deleted)", count.toLocaleString("en")]);
    find("confusions").replaceChildren(table([["Reference", ""], ["Hypothesis", ""], ["Times", "number"]], rows, "Most confused words"));
  }
}

function drawCurves() {
  if (!data.curves.length) return;
  show("curves");
  find("curves").className = "charts";
  find("curves").replaceChildren(...data.curves.map(lineChart));
}

// The utterances of a slice: by the column it comes from, or by the limits in the group's name (`< 2 s`, `2-4 s`, `>= 4 s`).
const MEASURES = { duration: "sec", "speaking rate": "wpm" };
function queryOf(measure, group) {
  const [, below, low, high, above] = /^(?:< ([\d.]+)|([\d.]+)-([\d.]+)|>= ([\d.]+)) /.exec(group) ?? [];
  if (below) return `${measure}<${below}`;
  if (above) return `${measure}>=${above}`;
  return low ? `${measure}>=${low} ${measure}<${high}` : null;
}

function pickSlice(slice, group) {
  const at = data.columns.indexOf(slice);
  const query = Object.hasOwn(MEASURES, slice) ? queryOf(MEASURES[slice], group) : null;
  if (at >= 0) {
    view.column = at;
    view.value = group;
    fillValues();
  } else if (query) {
    view.query = find("search").value = query;
  } else return;
  updateGrid();
  find("utterances").scrollIntoView();
}

function drawSlices() {
  const names = [...new Set(data.slices.map((row) => row.slice))];
  if (!names.length) return;
  show("slices");
  const chooser = find("slice-name");
  chooser.replaceChildren(...names.map((name) => element("option", { text: name })));
  const draw = () => {
    const rows = data.slices.filter((row) => row.slice === chooser.value);
    const chart = intervalChart({ title: `Word error rate by ${chooser.value}`, rows, xLabel: "WER, %", width: find("slices").clientWidth - 20, onPick: (row) => pickSlice(row.slice, row.label) });
    const cells = rows.map((row) => [row.label, percent(row.value), range(row), row.population === null ? "" : row.population.toLocaleString("en")]);
    const details = element("details", {}, element("summary", { text: "The same as a table" }), table([[chooser.value, ""], ["WER %", "number"], ["interval", "number"], ["utterances", "number"]], cells, `Word error rate by ${chooser.value}`));
    find("slices").replaceChildren(element("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": `Word error rate by ${chooser.value}` }, chart), details);
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

// The column with the fewest groups says most at a glance.
function fewestGroups() {
  const sizes = data.columns.map((_, at) => new Set(utterances.map((utterance) => utterance.columns[at])).size);
  const useful = sizes.filter((size) => size > 1);
  return useful.length ? sizes.indexOf(Math.min(...useful)) : 0;
}

function fillColumns() {
  view.column = fewestGroups();
  find("column").replaceChildren(...data.columns.map((name, at) => element("option", { value: at, text: name })));
  find("column").parentElement.hidden = find("value").parentElement.hidden = data.columns.length === 0;
  find("search-help").textContent = `Also: ${["id", "ref", "hyp", ...data.columns].map((name) => `${name}:…`).join(" ")} "two words" wer>20 wer=0 sec<3 wpm>200 words>=5 errors>2`;
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
const EVERYWHERE = new Set(["j", "k", "p", "/"]); // the other keys work on the page's own scrolling and buttons, unless the table has the focus

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && typing(event.target)) { grid.focus(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (!Object.hasOwn(KEYS, key) || !(EVERYWHERE.has(key) || event.target === grid || event.target === body)) return;
  event.preventDefault();
  KEYS[key]();
});
find("previous").addEventListener("click", () => move(-1));
find("next").addEventListener("click", () => move(1));
find("play").addEventListener("click", playOrPause);
find("theme").addEventListener("click", () => setTheme(theme === "dark" ? "light" : "dark"));
find("search").addEventListener("input", (event) => { view.query = event.target.value; updateGrid(); });
find("column").addEventListener("change", (event) => { view.column = Number(event.target.value); view.value = ""; fillValues(); updateGrid({ keep: true }); });
find("value").addEventListener("change", (event) => { view.value = event.target.value; updateGrid(); });

setTheme(theme);
drawFigures();
drawCurves();
drawSlices();
fillColumns();
updateGrid();
select(0);
performance.mark("ready");

// While the reader looks: what the first search and the first sort by id would have to make.
const whenIdle = window.requestIdleCallback ?? ((work) => setTimeout(work, 200));
whenIdle(() => { utterances.forEach(searchable); ORDERS.id(); ORDERS.slice(); });
