// An unmodified socket.io-client, driven from outside: commands as JSON lines on stdin, what happens as JSON lines on
// stdout. One process holds as many sockets as it is told to, each under a name; every socket has its own connection.
//
//   {"id":1,"do":"connect","socket":"a","url":"http://…","namespace":"/episodes","auth":{…},"transports":["polling"],"options":{…}}
//   {"id":2,"do":"emit","socket":"a","event":"join","args":[…],"ack":true,"timeout":5000}
//   {"id":3,"do":"disconnect","socket":"a"}    the client leaves for good
//
// Each command is answered by {"re":id,"ok":true,…}. What a socket hears: {"socket":"a","on":"connect"|"connect_error"|
// "disconnect"|"event",…}. Bytes are {"$binary":"base64"} in both directions. With "brief":true an event is
// reported by its name and seq alone.
import readline from "node:readline";
import { io } from "socket.io-client";

const sockets = new Map();
const say = (report) => process.stdout.write(JSON.stringify(report) + "\n");

function encode(value) {
  if (value instanceof ArrayBuffer) return { $binary: Buffer.from(value).toString("base64") };
  if (ArrayBuffer.isView(value)) {
    return { $binary: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64") };
  }
  if (Array.isArray(value)) return value.map(encode);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, encode(inner)]));
  }
  return value;
}

function decode(value) {
  if (Array.isArray(value)) return value.map(decode);
  if (value && typeof value === "object") {
    if (typeof value.$binary === "string") return Buffer.from(value.$binary, "base64");
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, decode(inner)]));
  }
  return value;
}

function connect({ socket: name, url, namespace, auth, transports, options, brief }) {
  const socket = io(url + (namespace ?? "/"), {
    auth: auth ?? {},
    transports,
    forceNew: true,
    reconnectionDelay: 50,
    reconnectionDelayMax: 400,
    timeout: 10_000,
    ...options,
  });
  sockets.set(name, socket);
  socket.on("connect", () => say({ socket: name, on: "connect", sid: socket.id, recovered: socket.recovered }));
  socket.on("connect_error", (error) => {
    say({ socket: name, on: "connect_error", message: error.message, data: error.data ?? null });
  });
  socket.on("disconnect", (reason) => say({ socket: name, on: "disconnect", reason }));
  socket.onAny((event, ...args) => {
    const answer = typeof args.at(-1) === "function" ? args.pop() : null;
    const report = { socket: name, on: "event", name: event };
    if (brief) report.seq = args[0]?.seq ?? null;
    else report.args = args.map(encode);
    if (brief && event === "ready") report.args = args.map(encode);
    if (answer) {
      report.acknowledged = true;
      answer(...args);
    }
    say(report);
  });
}

function emit({ id, socket: name, event, args = [], ack, timeout = 10_000 }) {
  const socket = sockets.get(name);
  const decoded = args.map(decode);
  if (!ack) {
    socket.emit(event, ...decoded);
    say({ re: id, ok: true });
    return;
  }
  socket.timeout(timeout).emit(event, ...decoded, (error, ...answer) => {
    say(error ? { re: id, ok: false, error: String(error.message) } : { re: id, ok: true, args: answer.map(encode) });
  });
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  try {
    if (command.do === "emit") return emit(command);
    if (command.do === "connect") connect(command);
    else if (command.do === "disconnect") sockets.get(command.socket).disconnect();
    else throw new Error(`unknown command ${command.do}`);
    say({ re: command.id, ok: true });
  } catch (error) {
    say({ re: command.id, ok: false, error: String(error) });
  }
}).on("close", () => process.exit(0));
