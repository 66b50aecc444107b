// The page's data. Text from data reaches the document only through textContent and attributes, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);

function fill(node, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (key === "text") node.textContent = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}
const element = (name, properties = {}, ...children) => fill(document.createElement(name), properties, children);

const percent = (value) => (value === null ? "–" : value.toFixed(1));
const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

// Alignment steps are words with a prefix: = correct, - deleted, + inserted, ~ substituted (reference, tab, hypothesis).
const OPERATIONS = { "=": "", "-": "D", "+": "I", "~": "S" };

function readSteps(text) {
  if (text === "") return [];
  return text.split(" ").map((step) => {
    const [first, second] = step.slice(1).split("\t");
    const prefix = step[0];
    return { mark: OPERATIONS[prefix], ref: prefix === "+" ? null : first, hyp: prefix === "-" ? null : second ?? first };
  });
}

const utterances = data.utterances.map(([id, wav, duration, errors, words, steps, ...columns], index) => ({
  index, id, wav, duration, errors, words, steps, columns,
  wer: words ? (100 * errors) / words : null,
  speed: (60 * words) / duration,
}));

// The reference ("ref") or hypothesis ("hyp") of an utterance.
const textOf = (utterance, side) => readSteps(utterance.steps).map((step) => step[side]).filter((word) => word !== null).join(" ");

// What `slot:…` finds: kinds, values (altitude=5000; ? cannot be read), role=pilot, and doubtful.
function slotTerms(utterance) {
  const [role, , ...slots] = data.slots[utterance.index] ?? [];
  const terms = slots.flatMap(([kind, value, , , , , , doubtful]) => [kind, `${kind}=${value ?? "?"}`, ...(doubtful.length ? ["doubtful"] : [])]);
  return new Set([...terms, ...(role ? [`role=${role}`] : [])].map((term) => term.toLowerCase()));
}

// Texts for the search are made at the first search, so that opening the page does not wait for them.
function searchable(utterance) {
  if (!utterance.fields) {
    utterance.fields = { id: utterance.id.toLowerCase(), ref: textOf(utterance, "ref").toLowerCase(), hyp: textOf(utterance, "hyp").toLowerCase() };
    data.columns.forEach((name, index) => { utterance.fields[name.toLowerCase()] = utterance.columns[index].toLowerCase(); });
    utterance.all = Object.values(utterance.fields).join("\n");
    utterance.slotTerms = slotTerms(utterance);
  }
  return utterance;
}
