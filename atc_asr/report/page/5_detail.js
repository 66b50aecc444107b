// The selected utterance: aligned words, audio and spectrogram.
const NAMES = { S: "substituted", D: "deleted", I: "inserted" };

// For screen readers.
function describeErrors(utterance, steps) {
  const wrong = steps.filter((step) => step.mark !== "");
  const changes = wrong.map((step) => {
    if (step.mark === "S") return `${step.ref} recognised as ${step.hyp}`;
    return `${step.ref ?? step.hyp} ${NAMES[step.mark]}`;
  });
  return `Reference: ${textOf(utterance, "ref") || "nothing"}. Hypothesis: ${textOf(utterance, "hyp") || "nothing"}. ${
    wrong.length ? `${plural(wrong.length, "error")}: ${changes.join(", ")}.` : "No errors."}`;
}

function alignedPair(step) {
  const ref = element("b", { class: step.ref === null ? "none" : step.mark, text: step.ref ?? "∅" });
  const hyp = element("i", { class: step.hyp === null ? "none" : step.mark, text: step.hyp ?? "∅" });
  return element("span", { class: "pair" }, ref, hyp, element("small", { text: step.mark }));
}

// The speaker's role, then the slots; a click searches for all utterances with the same one.
function slotChip(term, text, title, isDoubtful) {
  const query = (/\s/.test(term) ? `slot:"${term}"` : `slot:${term}`).toLowerCase();
  const button = element("button", { type: "button", class: isDoubtful ? "doubt" : "", text, title, "data-query": query });
  return element("li", {}, button);
}

function drawSlots(utterance) {
  const [role, probability, ...slots] = data.slots[utterance.index] ?? [];
  const speaker = role ? [slotChip(`role=${role}`, role, `speaker, probability ${probability?.toFixed(2)}`, false)] : [];
  const chips = slots.map(([kind, value, unit, act, start, end, confidence, doubtful]) => {
    const shownUnit = unit && !["FL", "Mach"].includes(unit) ? ` ${unit}` : ""; // those are in the value
    const doubt = doubtful.length ? `, doubtful: ${doubtful.join(" ")}` : "";
    const text = `${kind.replaceAll("_", " ")} ${value ?? "cannot be read"}${shownUnit}${doubt}`;
    const times = [start, end, confidence].includes(null) ? "" : `${start.toFixed(2)}–${end.toFixed(2)} s, confidence ${confidence.toFixed(2)}`;
    return slotChip(`${kind}=${value ?? "?"}`, text, [act, times].filter(Boolean).join(", "), doubt || value === null);
  });
  find("slots").replaceChildren(...speaker, ...chips);
  find("slots").hidden = !speaker.length && !chips.length;
}

function showDetail(utterance) {
  const steps = readSteps(utterance.steps);
  find("detail-id").textContent = utterance.id;
  const rate = utterance.words ? `WER ${percent(utterance.wer)} %` : "empty reference";
  const info = [rate, `${plural(utterance.errors, "error")} in ${plural(utterance.words, "word")}`, `${utterance.duration.toFixed(2)} s`];
  data.columns.forEach((name, index) => { if (utterance.columns[index]) info.push(`${name}: ${utterance.columns[index]}`); });
  find("detail-info").replaceChildren(...info.map((text) => element("span", { text })));
  find("detail-description").textContent = describeErrors(utterance, steps);
  const sides = element("span", { class: "sides" }, element("span", { text: "ref" }), element("span", { text: "hyp" }));
  find("alignment").replaceChildren(sides, ...steps.map(alignedPair));
  drawSlots(utterance);
  showAudio(utterance);
}
