// Draws docs/picture/callboard.svg: one change on its way from a REST request to two clients, then `kill -9`, and the
// change that they miss meanwhile. Every line of the picture was printed by a program during the run; where one is too
// long for the picture, `…` stands for what was cut out.
//
//   cargo xtask clients && cargo build --release && node docs/picture/picture.mjs [path of the callboard program]

import { spawn, execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { terminal } from "./svg.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, "../..");
const { io } = createRequire(join(root, "tests/clients/node/package.json"))("socket.io-client");
const program = resolve(process.argv[2] ?? join(root, "target/release/callboard"));

const COLUMNS = 118;
const PATIENCE = 20_000;
const EMAIL = "admin@localhost";

const begun = performance.now();
const lines = [];

// Who waits for a line is told of it: there is no sleeping here.
const waiting = [];

// Of an event's JSON the end says more than the middle: there are the changes.
function shorten(text, room) {
  const end = text.endsWith("}") ? Math.floor(room * 0.565) : 0;
  return `${text.slice(0, room - 1 - end)}…${end ? text.slice(-end) : ""}`;
}

function say(who, text) {
  const seconds = ((performance.now() - begun) / 1000).toFixed(2).padStart(6);
  const head = [
    { text: `${seconds}  `, ink: "dim" },
    { text: `${who.padEnd(9)}`, ink: who === "$" ? "shell" : who, bold: true },
  ];
  const room = COLUMNS - head.reduce((sum, part) => sum + part.text.length, 0);
  const cut = text.length > room ? shorten(text, room) : text;
  lines.push([...head, { text: cut, ink: who === "shell" ? "shell" : "text" }]);
  console.log(`${seconds}  ${who.padEnd(9)}${cut}`);
  for (const entry of [...waiting]) {
    if (entry.who === who && text.includes(entry.words)) {
      waiting.splice(waiting.indexOf(entry), 1);
      clearTimeout(entry.timer);
      entry.done(text);
    }
  }
}

const gap = () => lines.push([]);

function until(who, words) {
  return new Promise((done, failed) => {
    const timer = setTimeout(() => failed(new Error(`${who} never said: ${words}`)), PATIENCE);
    waiting.push({ who, words, done, timer });
  });
}

// What a program prints, line by line, without colours and empty lines.
function follow(stream, each) {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (text) => {
    const parts = (rest + text).split("\n");
    rest = parts.pop();
    for (const part of parts) {
      const line = part.replace(/\u001b\[[0-9;]*m/g, "").trimEnd();
      if (line !== "") each(line);
    }
  });
}

const freePort = () =>
  new Promise((done) => {
    const listener = createServer().listen(0, "127.0.0.1", () => {
      const { port } = listener.address();
      listener.close(() => done(port));
    });
  });

const folder = mkdtempSync(join(tmpdir(), "callboard-picture-"));
const port = await freePort();
const base = `http://127.0.0.1:${port}`;
const children = new Set();
let server;

function started(child) {
  children.add(child);
  child.on("exit", () => children.delete(child));
  return child;
}

async function startServer() {
  say("shell", "$ callboard");
  server = started(
    spawn(program, [], {
      cwd: folder,
      env: { PATH: process.env.PATH, SOCKET_PORT: String(port), RUST_LOG: "warn" },
      stdio: ["ignore", "pipe", "pipe"],
    }),
  );
  follow(server.stdout, (line) => say("server", line));
  follow(server.stderr, (line) => say("server", line));
  const deadline = Date.now() + PATIENCE;
  while (Date.now() < deadline) {
    if (server.exitCode !== null) throw new Error("the server ended");
    const ready = await fetch(`${base}/health/ready`).catch(() => undefined);
    if (ready?.ok) return;
    await new Promise((done) => setTimeout(done, 20));
  }
  throw new Error("the server does not become ready");
}

async function killServer() {
  say("shell", `$ kill -9 ${server.pid}`);
  const over = new Promise((done) => server.on("exit", done));
  server.kill("SIGKILL");
  await over;
}

async function rest(method, path, body, token) {
  const answer = await fetch(`${base}/api/v1/${path}`, {
    method,
    headers: { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) },
    body: body && JSON.stringify(body),
  });
  const json = await answer.json();
  if (!answer.ok) throw new Error(`${method} ${path}: ${JSON.stringify(json)}`);
  return { status: answer.status, data: json.data };
}

async function edit(path, body, token) {
  say("editor", `PATCH /api/v1/${path.replace(/[0-9a-f-]{28}$/, "…")} ${JSON.stringify(body)}`);
  const { status, data } = await rest("PATCH", path, body, token);
  say("editor", `${status} ${JSON.stringify({ title: data.title, status: data.status, version: data.version })}`);
}

function browser(token, room) {
  const socket = io(`${base}/episodes`, { auth: { token }, transports: ["websocket"] });
  socket.on("connect", async () => {
    say("browser", `connect, recovered: ${socket.recovered}`);
    if (!socket.recovered) {
      const answer = await socket.emitWithAck("join", { room });
      say("browser", `join, ok: ${answer.ok}, viewers: ${answer.viewers.map((viewer) => viewer.name).join(", ")}`);
    }
  });
  socket.on("ready", (event) => say("browser", `ready, offset ${event.data.offset}`));
  socket.on("disconnect", (reason) => say("browser", `disconnect: ${reason}`));
  socket.on("episode_updated", (event) => say("browser", `episode_updated, seq ${event.seq}: “${event.data.title}”`));
  return socket;
}

function eventStream(token, lastEventId) {
  const again = lastEventId ? ["-H", `Last-Event-ID: ${lastEventId}`] : [];
  say("shell", `$ curl -N ${again.map((word) => (word === "-H" ? word : `'${word}'`)).join(" ")}${again.length ? " " : ""}-H 'Authorization: Bearer …' ${base}/api/v1/events`);
  const curl = started(
    spawn("curl", ["-sS", "-N", ...again, "-H", `Authorization: Bearer ${token}`, `${base}/api/v1/events`], {
      stdio: ["ignore", "pipe", "pipe"],
    }),
  );
  follow(curl.stdout, (line) => say("curl", line));
  follow(curl.stderr, (line) => say("curl", line));
  return new Promise((done) => curl.on("exit", done));
}

try {
  let password;
  const note = until("server", "assword");
  await startServer();
  const line = await note;
  password = line.match(/assword:?\s+(\S+)/)?.[1];
  const { data: session } = await rest("POST", "auth/login", { email: EMAIL, password });
  const token = session.access_token;
  const { data: episode } = await rest("POST", "episodes", { title: "Pilot", episode_number: 1, season: 1 }, token);
  const path = `episodes/${episode.id}`;

  gap();
  const joined = until("browser", "join, ok: true");
  const socket = browser(token, `episode:${episode.id}`);
  await joined;
  const streaming = until("curl", "event: ready");
  const cutOff = eventStream(token);
  await streaming;

  gap();
  const seen = [until("browser", "The Pilot"), until("curl", "The Pilot")];
  await edit(path, { title: "The Pilot" }, token);
  await Promise.all(seen);
  const lastEventId = lines
    .map((parts) => parts.map((part) => part.text).join(""))
    .findLast((text) => text.includes("curl     id: "))
    .split("id: ")[1];

  gap();
  const left = until("browser", "disconnect");
  await killServer();
  await Promise.all([left, cutOff]);

  gap();
  await startServer();
  const missed = [until("browser", "Missed by nobody"), until("browser", "ready"), until("curl", "Missed by nobody")];
  await edit(path, { title: "Missed by nobody" }, token);
  eventStream(token, lastEventId);
  await Promise.all(missed);

  gap();
  say("shell", "$ callboard record verify");
  const { stdout } = await promisify(execFile)(program, ["record", "verify"], { cwd: folder, env: { PATH: process.env.PATH } });
  for (const text of stdout.split("\n").filter((text) => text.trim() !== "")) say("server", text);
  socket.off("disconnect");
  socket.close();

  const drawn = terminal({
    title: "callboard: one change, two clients, one kill -9",
    description: "What the server, an editor, a stock socket.io-client and curl printed while an episode was changed, the server killed and started again.",
    lines,
    columns: COLUMNS,
  });
  writeFileSync(join(here, "callboard.svg"), drawn);
} finally {
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
}
process.exit(0);
