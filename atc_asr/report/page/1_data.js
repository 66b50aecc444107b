// What the page knows. Texts of strangers reach the document through textContent and attributes only.
const data = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);

function element(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") node.className = value;
    else if (key === "text") node.textContent = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

const percent = (value) => (value === null ? "–" : value.toFixed(1));
const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

// Steps of an alignment are words with a sign before them: = hit, - deleted, + inserted, ~ substituted (reference, tab, hypothesis).
const OPERATIONS = { "=": "", "-": "D", "+": "I", "~": "S" };

function readSteps(text) {
  if (text === "") return [];
  return text.split(" ").map((step) => {
    const [first, second] = step.slice(1).split("\t");
    const sign = step[0];
    return { mark: OPERATIONS[sign], ref: sign === "+" ? null : first, hyp: sign === "-" ? null : sign === "~" ? second : first };
  });
}

const utterances = data.utterances.map(([id, wav, duration, errors, words, steps, ...columns], index) => ({
  index, id, wav, duration, errors, words, steps, columns,
  wer: words ? (100 * errors) / words : null,
  speed: (60 * words) / duration,
}));

function refOf(utterance) {
  return readSteps(utterance.steps).filter((step) => step.ref !== null).map((step) => step.ref).join(" ");
}

function hypOf(utterance) {
  return readSteps(utterance.steps).filter((step) => step.hyp !== null).map((step) => step.hyp).join(" ");
}

// Texts to search are made when the first search needs them: opening the page does not wait for them.
function searchable(utterance) {
  if (!utterance.fields) {
    utterance.fields = { id: utterance.id.toLowerCase(), ref: refOf(utterance).toLowerCase(), hyp: hypOf(utterance).toLowerCase() };
    data.columns.forEach((name, at) => { utterance.fields[name.toLowerCase()] = utterance.columns[at].toLowerCase(); });
    utterance.all = Object.values(utterance.fields).join("\n");
  }
  return utterance;
}
