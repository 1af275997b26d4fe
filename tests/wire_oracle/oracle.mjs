// What the reference decoders say. Reads one case a line, answers one line each; actors/tests/wire_oracle compares.
//
//   {"text": "4hello"}                              one Engine.IO packet
//   {"body": "4a\u001e4b"}                          the body of a poll
//   {"messages": ["51-[\"a\",{…}]", {"$bin": "…"}]} the messages of one Socket.IO connection, in order
//
// An answer holds the packets that were accepted, how it ended, and the reference's own encoding of those packets.
// Bytes are {"$bin": base64} everywhere. What JSON, or Rust, cannot hold is marked: {"$number": "Infinity"}, and half a
// surrogate pair in {"$surrogate": UTF-16 in hexadecimal}.
import { readFileSync, writeSync } from "node:fs";
import * as engineio from "engine.io-parser";
import * as socketio from "socket.io-parser";

const bytes = (marked) => Buffer.from(marked.$bin, "base64");

const surrogate = (text) => ({ $surrogate: Buffer.from(text, "utf16le").toString("hex") });

/** A copy that JSON can hold, whatever its keys are called. */
function plain(value) {
  if (value === undefined) return null;
  if (Buffer.isBuffer(value)) return { $bin: value.toString("base64") };
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === "number" && !Number.isFinite(value)) return { $number: String(value) };
  if (typeof value === "string" && !value.isWellFormed()) return surrogate(value);
  if (typeof value !== "object" || value === null) return value;
  const copy = Object.create(null);
  for (const key of Object.keys(value)) copy[plainKey(key)] = plain(value[key]);
  return copy;
}

const plainKey = (key) => (key.isWellFormed() ? key : JSON.stringify(surrogate(key)));

function body(packets) {
  if (packets.some((packet) => packet.type === "error")) return { end: "refused", packets: [] };
  const answer = { end: "idle", packets: packets.map(plain) };
  engineio.encodePayload(packets, (encoded) => (answer.encoded = encoded));
  return answer;
}

function messages(list) {
  const decoder = new socketio.Decoder();
  const packets = [];
  const encoded = [];
  let refused = false;
  decoder.on("decoded", (packet) => {
    // The decoder lets a missing payload pass; what the same library calls invalid counts as refused.
    if (!socketio.isPacketValid(packet)) throw new Error("invalid packet");
    packets.push(plain({ type: packet.type, nsp: packet.nsp, id: packet.id, data: packet.data }));
    const again = new socketio.Encoder().encode(packet);
    encoded.push(...again.map((message) => (typeof message === "string" ? message : plain(message))));
  });
  try {
    for (const message of list) decoder.add(typeof message === "string" ? message : bytes(message));
  } catch {
    refused = true;
  }
  if (refused || !decoder.reconstructor) return { end: refused ? "refused" : "idle", packets, encoded };
  // Attachments are due. What would come of it if they came?
  const answer = { end: "waiting", packets: [...packets], encoded: [...encoded] };
  try {
    while (decoder.reconstructor) decoder.add(Buffer.alloc(0));
    answer.completed = packets.at(-1);
  } catch {
    // It would be refused.
  }
  return answer;
}

// Read whole and split by hand: readline would also split at U+2028.
const answers = readFileSync(0, "utf8")
  .split("\n")
  .filter((line) => line !== "")
  .map((line) => {
    const test = JSON.parse(line);
    if ("text" in test) return body([engineio.decodePacket(test.text)]);
    if ("body" in test) return body(engineio.decodePayload(test.body));
    return messages(test.messages);
  })
  .map((answer) => JSON.stringify(answer) + "\n");

let left = Buffer.from(answers.join(""));
while (left.length > 0) {
  try {
    left = left.subarray(writeSync(1, left));
  } catch (error) {
    if (error.code !== "EAGAIN") throw error;
  }
}
