"""python-socketio, driven from outside: the same commands and reports as ../node/client.mjs.

python-socketio comes back by itself, but knows nothing of connection-state recovery. With "resume": true this program
does what a Python application has to do for it: it keeps the `pid` of the CONNECT answer and the offset of the last
event, and gives both at the next CONNECT. One socket has one namespace here, as the library sends one `auth` to all.
"""

import asyncio
import base64
import json
import sys

import socketio

sockets = {}


def say(report):
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


def encode(value):
    if isinstance(value, (bytes, bytearray)):
        return {"$binary": base64.b64encode(value).decode()}
    if isinstance(value, (list, tuple)):
        return [encode(inner) for inner in value]
    if isinstance(value, dict):
        return {key: encode(inner) for key, inner in value.items()}
    return value


def decode(value):
    if isinstance(value, list):
        return [decode(inner) for inner in value]
    if isinstance(value, dict):
        if isinstance(value.get("$binary"), str):
            return base64.b64decode(value["$binary"])
        return {key: decode(inner) for key, inner in value.items()}
    return value


class Client(socketio.AsyncClient):
    """The stock client, plus a look at the answer to CONNECT."""

    def __init__(self, name, namespace, auth, resume, brief, **options):
        super().__init__(reconnection_delay=0.05, reconnection_delay_max=0.4, randomization_factor=0.2, **options)
        self.name, self.its_namespace, self.brief = name, namespace, brief
        self.auth, self.resume = auth, resume
        self.pid = self.offset = None
        self.recovered = False
        self.on("connect", self.connected_now, namespace=namespace)
        self.on("connect_error", self.refused, namespace=namespace)
        self.on("disconnect", self.disconnected, namespace=namespace)
        self.on("*", self.heard, namespace=namespace)

    async def credentials(self):
        if self.resume and self.pid is not None and self.offset is not None:
            return {**self.auth, "pid": self.pid, "offset": self.offset}
        return self.auth

    async def _handle_connect(self, namespace, data):
        pid = (data or {}).get("pid")
        self.recovered = pid is not None and pid == self.pid
        self.pid = pid
        await super()._handle_connect(namespace, data)

    async def connected_now(self):
        report = {"sid": self.get_sid(self.its_namespace), "recovered": self.recovered}
        say({"socket": self.name, "on": "connect", **report})

    async def refused(self, data=None):
        data = data if isinstance(data, dict) else {"message": data}
        say({"socket": self.name, "on": "connect_error", "message": data.get("message"), "data": data.get("data")})

    async def disconnected(self, reason=None):
        # The library's names for what the JavaScript client calls by these.
        words = {"server disconnect": "io server disconnect", "client disconnect": "io client disconnect"}
        say({"socket": self.name, "on": "disconnect", "reason": words.get(reason, reason)})

    async def heard(self, event, *args):
        if args and isinstance(args[-1], str):
            self.offset = args[-1]
        report = {"socket": self.name, "on": "event", "name": event}
        if self.brief:
            report["seq"] = args[0].get("seq") if args and isinstance(args[0], dict) else None
        if not self.brief or event == "ready":
            report["args"] = encode(args)
        say(report)
        return args


async def connect(command):
    namespace = command.get("namespace") or "/"
    client = Client(
        command["socket"],
        namespace,
        command.get("auth") or {},
        command.get("resume", False),
        command.get("brief", False),
        **(command.get("options") or {}),
    )
    sockets[command["socket"]] = client
    await client.connect(
        command["url"],
        auth=client.credentials,
        transports=command["transports"],
        namespaces=[namespace],
        wait_timeout=10,
    )


async def emit(command):
    client = sockets[command["socket"]]
    args = tuple(decode(command.get("args") or []))
    data = args[0] if len(args) == 1 else args
    namespace = client.its_namespace
    if not command.get("ack"):
        await client.emit(command["event"], data, namespace=namespace)
        return {}
    answer = await client.call(command["event"], data, namespace=namespace, timeout=command.get("timeout", 10_000) / 1000)
    # The library hands a single argument bare, several as a tuple, none as None.
    answer = list(answer) if isinstance(answer, tuple) else [] if answer is None else [answer]
    return {"args": encode(answer)}


async def obey(command):
    try:
        more = {}
        if command["do"] == "connect":
            await connect(command)
        elif command["do"] == "emit":
            more = await emit(command)
        elif command["do"] == "disconnect":
            await sockets[command["socket"]].disconnect()
        else:
            raise ValueError("unknown command " + command["do"])
        say({"re": command["id"], "ok": True, **more})
    except Exception as error:  # noqa: BLE001 - whatever goes wrong is the answer
        say({"re": command["id"], "ok": False, "error": f"{type(error).__name__}: {error}"})


async def main():
    loop = asyncio.get_running_loop()
    tasks = set()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        task = loop.create_task(obey(json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


asyncio.run(main())
