// The server's event stream, read with fetch: its heartbeats can be watched and its refusals understood.

const SILENCE_MS = 40_000; // the server beats every 15 s
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 8_000;

/** Read the stream for ever: opened() on each connection, event(type, data) for each event, lost(reason, pause_ms). */
export async function follow(path, { opened, event, lost }) {
  for (let failures = 0; ; failures++) {
    let reason = "the stream ended";
    try {
      await read(path, { event, opened: () => { failures = 0; opened(); } });
    } catch (error) {
      reason = error.message;
    }
    const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures) * (0.75 + Math.random() / 2);
    lost(reason, pause);
    await paused(pause);
  }
}

async function read(path, { event, opened }) {
  const abort = new AbortController();
  let silence = setTimeout(() => abort.abort(), SILENCE_MS);
  try {
    const answer = await fetch(path, { headers: { Accept: "text/event-stream" }, signal: abort.signal, cache: "no-store" });
    if (answer.status === 401) location.reload();
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    opened();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    const parse = parser(event);
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      clearTimeout(silence);
      silence = setTimeout(() => abort.abort(), SILENCE_MS);
      parse(part.value);
    }
  } finally {
    clearTimeout(silence);
    abort.abort();
  }
}

/** Return a function that takes the stream's text piece by piece and calls event(type, data) for each event in it. */
export function parser(event) {
  let rest = "";
  return (text) => {
    const blocks = (rest + text).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) take(block, event);
  };
}

function take(block, event) {
  let type = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) type = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
  }
  if (data.length) event(type, JSON.parse(data.join("\n")));
}

function paused(ms) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    addEventListener("online", done);
  });
}
