// socket.io as its documentation has it: a token checked at CONNECT, rooms joined on request, POST /publish/{room}.

import { createServer } from "node:http";
import jwt from "jsonwebtoken";
import { Server } from "socket.io";

const secret = process.env.PEER_SECRET ?? "";

const http = createServer((request, response) => {
  const room = request.method === "POST" && request.url.startsWith("/publish/") && request.url.slice(9);
  if (!room) {
    response.writeHead(404, { "Content-Length": 0 }).end();
    return;
  }
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    episodes.to(room).emit("custom", JSON.parse(Buffer.concat(chunks).toString()));
    response.writeHead(200, { "Content-Length": 0 }).end();
  });
});
// Publishers keep their connections.
http.keepAliveTimeout = 600_000;

const io = new Server(http);
const episodes = io.of("/episodes");
episodes.use((socket, next) => {
  jwt.verify(socket.handshake.auth.token ?? "", secret, { algorithms: ["HS256"] }, (error) =>
    next(error ? new Error("token_invalid") : undefined),
  );
});
episodes.on("connection", (socket) => {
  socket.on("join", async ({ room }, answer) => {
    await socket.join(room);
    answer({ ok: true, room });
  });
});

http.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  console.log(`127.0.0.1:${http.address().port}`);
});
