// The audio of the selected utterance and its spectrogram, computed here from the samples.
const FFT_SIZE = 512;
const DYNAMIC_RANGE = 75; // dB
const audio = find("audio");
const canvas = find("spectrogram");
let folderFiles = null; // files of the folder that the user chose, by each suffix of their paths
let sourceUrl = null;

function fileOf(wav) {
  if (!folderFiles) return null;
  const wanted = wav.split("/").filter((part) => part !== ".." && part !== ".");
  for (let parts = wanted.length; parts > 0; parts -= 1) {
    const file = folderFiles.get(wanted.slice(-parts).join("/"));
    if (file) return file;
  }
  return null;
}

const relativeUrl = (wav) => wav.split("/").map(encodeURIComponent).join("/");

// The audio that the page contains or that the user chose; null when only its URL is known.
function blobOf(utterance) {
  const embedded = data.audio[utterance.index];
  if (!embedded) return fileOf(utterance.wav);
  return new Blob([Uint8Array.from(atob(embedded), (character) => character.charCodeAt(0))], { type: "audio/flac" });
}

async function loadAudio(utterance) {
  const blob = blobOf(utterance);
  if (blob) return blob.arrayBuffer();
  const response = await fetch(relativeUrl(utterance.wav));
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
  return response.arrayBuffer();
}

function playableUrl(utterance) {
  if (sourceUrl) URL.revokeObjectURL(sourceUrl);
  sourceUrl = null;
  const blob = blobOf(utterance);
  if (!blob) return relativeUrl(utterance.wav);
  sourceUrl = URL.createObjectURL(blob);
  return sourceUrl;
}

// In-place radix-2 FFT (Cooley and Tukey, 1965).
function fft(real, imaginary) {
  const size = real.length;
  for (let i = 1, j = 0; i < size; i += 1) {
    let bit = size >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) { [real[i], real[j]] = [real[j], real[i]]; [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]]; }
  }
  for (let half = 1; half < size; half <<= 1) {
    for (let k = 0; k < half; k += 1) {
      const cosine = Math.cos((-Math.PI * k) / half);
      const sine = Math.sin((-Math.PI * k) / half);
      for (let at = k; at < size; at += 2 * half) {
        const other = at + half;
        const re = real[other] * cosine - imaginary[other] * sine;
        const im = real[other] * sine + imaginary[other] * cosine;
        real[other] = real[at] - re; imaginary[other] = imaginary[at] - im;
        real[at] += re; imaginary[at] += im;
      }
    }
  }
}

// Power in dB, column by column, each from low to high frequency.
function spectrogram(samples, columns) {
  const bins = FFT_SIZE / 2;
  const levels = new Float32Array(columns * bins);
  const window = Float32Array.from({ length: FFT_SIZE }, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / FFT_SIZE));
  const real = new Float32Array(FFT_SIZE);
  const imaginary = new Float32Array(FFT_SIZE);
  for (let column = 0; column < columns; column += 1) {
    const start = Math.round(((column + 0.5) * samples.length) / columns - FFT_SIZE / 2);
    for (let n = 0; n < FFT_SIZE; n += 1) real[n] = (samples[start + n] ?? 0) * window[n];
    imaginary.fill(0);
    fft(real, imaginary);
    for (let bin = 0; bin < bins; bin += 1) {
      levels[column * bins + bin] = 10 * Math.log10(real[bin] ** 2 + imaginary[bin] ** 2 + 1e-12);
    }
  }
  return levels;
}

// Colours of matplotlib's "magma" at even distances.
const COLOURS = [[0, 0, 4], [28, 16, 68], [79, 18, 123], [129, 37, 129], [181, 54, 122], [229, 80, 100], [251, 135, 97], [254, 194, 135], [252, 253, 191]];
function colour(level) {
  const place = Math.min(Math.max(level, 0), 1) * (COLOURS.length - 1);
  const below = Math.min(Math.floor(place), COLOURS.length - 2);
  return COLOURS[below].map((value, channel) => value + (place - below) * (COLOURS[below + 1][channel] - value));
}

function drawSpectrogram(buffer) {
  canvas.width = Math.max(1, canvas.clientWidth);
  canvas.height = Math.max(1, canvas.clientHeight);
  const { width, height } = canvas;
  const bins = FFT_SIZE / 2;
  const levels = spectrogram(buffer.getChannelData(0), width);
  const loudest = levels.reduce((highest, level) => Math.max(highest, level), -Infinity);
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let y = 0; y < height; y += 1) {
    const bin = Math.floor(((height - 1 - y) * bins) / height);
    for (let x = 0; x < width; x += 1) {
      const [red, green, blue] = colour(1 + (levels[x * bins + bin] - loudest) / DYNAMIC_RANGE);
      image.data.set([red, green, blue, 255], 4 * (y * width + x));
    }
  }
  context.putImageData(image, 0, 0);
  context.fillStyle = "#fff";
  context.font = "12px system-ui, sans-serif";
  const top = buffer.sampleRate / 2000;
  for (let kilohertz = 2; kilohertz < top; kilohertz += 2) {
    context.fillText(`${kilohertz} kHz`, 4, height - (kilohertz / top) * height + 4);
    context.fillRect(0, height - (kilohertz / top) * height, 3, 1);
  }
}

function drawWords(utterance, duration) {
  const times = data.times[utterance.index] ?? [];
  const spans = times.map(([word, start, end, confidence]) => {
    const span = element("span", { text: word, title: `${word} ${start.toFixed(2)}–${end.toFixed(2)} s, confidence ${confidence.toFixed(2)}` });
    span.style.left = `${(100 * start) / duration}%`;
    span.style.width = `${(100 * (end - start)) / duration}%`;
    return span;
  });
  find("words").replaceChildren(...spans);
}

function clearSpectrogram() {
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  canvas.parentElement.hidden = true;
  delete canvas.dataset.drawn;
  find("playhead").hidden = true;
}

async function showAudio(utterance) {
  audio.pause();
  clearSpectrogram();
  audio.src = playableUrl(utterance);
  find("audio-note").textContent = "";
  find("folder-label").hidden = true;
  drawWords(utterance, utterance.duration);
  try {
    const bytes = await loadAudio(utterance);
    if (view.selected !== utterance) return;
    const buffer = await new OfflineAudioContext(1, 1, data.sample_rate).decodeAudioData(bytes);
    if (view.selected !== utterance) return;
    canvas.parentElement.hidden = false;
    drawSpectrogram(buffer);
    canvas.setAttribute("aria-label", `Spectrogram of ${utterance.id}, ${buffer.duration.toFixed(1)} seconds`);
    canvas.dataset.drawn = utterance.index;
  } catch (error) {
    if (view.selected !== utterance) return;
    const local = location.protocol === "file:";
    find("audio-note").textContent = local
      ? "A page opened from disk can play audio files but not read them. To see the spectrogram, choose the folder with the audio:"
      : `No spectrogram: ${utterance.wav} cannot be read (${error.message}).`;
    find("folder-label").hidden = !local;
  }
}

function playOrPause() {
  if (!view.selected) move(0);
  if (audio.paused) {
    audio.play().catch((error) => { find("audio-note").textContent = `${view.selected.wav} cannot be played: ${error.message}`; });
  } else audio.pause();
}

function drawPlayhead() {
  const playhead = find("playhead");
  playhead.hidden = !(audio.duration > 0) || !canvas.dataset.drawn;
  playhead.style.left = `${(100 * audio.currentTime) / audio.duration}%`;
  if (!audio.paused) requestAnimationFrame(drawPlayhead);
}

audio.addEventListener("play", () => { find("play").textContent = "Pause"; drawPlayhead(); });
audio.addEventListener("pause", () => { find("play").textContent = "Play"; });
audio.addEventListener("seeked", drawPlayhead);
canvas.addEventListener("click", (event) => {
  const box = canvas.getBoundingClientRect();
  if (audio.duration > 0) audio.currentTime = ((event.clientX - box.left) / box.width) * audio.duration;
});
find("folder").addEventListener("change", (event) => {
  folderFiles = new Map();
  for (const file of event.target.files) {
    const parts = file.webkitRelativePath.split("/");
    for (let i = 0; i < parts.length; i += 1) folderFiles.set(parts.slice(i).join("/"), file);
  }
  if (view.selected) showAudio(view.selected);
});
