"""What the document cannot say of itself, and a count of what was asked.

In the environment: CALLBOARD_SELF, the id of the user who asks; CALLBOARD_SPARE, of one who may come to harm;
CALLBOARD_NOTIFICATIONS, ids of some notifications of the one who asks; CALLBOARD_NAMES, the names that the program keeps
for itself; CALLBOARD_CALLS, the file into which the count of calls goes, by operation and status.
"""

import atexit
import collections
import itertools
import json
import os
import uuid

import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode

SELF = os.environ["CALLBOARD_SELF"]
SPARE = os.environ["CALLBOARD_SPARE"]

NOTIFICATIONS = [id for id in os.environ["CALLBOARD_NOTIFICATIONS"].split(",") if id]

# Events and notifications of the program itself, as its documents have them and as a made-up request may pick them up.
NAMES = set(os.environ["CALLBOARD_NAMES"].split(","))

keys = itertools.count(1)
calls = collections.defaultdict(collections.Counter)

ids = st.uuids(version=4).map(str)
teams = st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=20)
schemathesis.openapi.format(
    "room",
    st.one_of(
        ids.map(lambda id: "episode:" + id),
        ids.map(lambda id: "job:" + id),
        ids.map(lambda id: "user:" + id),
        teams.map(lambda name: "team:" + name),
    ),
)


schemathesis.openapi.format("time-zone", st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]))


def without_nul(value):
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, list):
        return [without_nul(inner) for inner in value]
    if isinstance(value, dict):
        return {without_nul(name): without_nul(inner) for name, inner in value.items()}
    return value


@schemathesis.hook
def before_call(context, case, kwargs):
    # Who asks must not be disabled or demoted half-way: from then on everything would be a 401 or 403, and pass.
    for name, value in (case.path_parameters or {}).items():
        if value == SELF and case.method.upper() in ("PATCH", "PUT", "DELETE"):
            case.path_parameters[name] = SPARE
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    # A cursor cannot be made up: it is sealed, and bound to its list and filters. (Made-up ones are in the bad data.)
    if case.query:
        case.query.pop("cursor", None)
        # That one parameter is not before another, and that a text has letters in whatever script, no schema can say.
        if "from" in case.query and "to" in case.query:
            case.query.pop("to")
        if isinstance(case.query.get("q"), str) and not any(letter.isalnum() for letter in case.query["q"]):
            case.query["q"] = case.query["q"][:100] + "a"
    # No answer gives the ids of one's own notifications when they are wanted; each of these can be removed once.
    if "/notifications/{id}" in case.operation.path and NOTIFICATIONS:
        case.path_parameters["id"] = NOTIFICATIONS.pop() if case.method.upper() == "DELETE" else NOTIFICATIONS[0]
    # Of values without a schema (metadata) the document cannot say that they hold no U+0000.
    if isinstance(case.body, (dict, list, str)):
        case.body = without_nul(case.body)
    # Quiet hours are merged into those that are there: only the first time all has to be given.
    if isinstance(case.body, dict) and isinstance(case.body.get("quiet_hours"), dict):
        if not {"start", "end", "time_zone"} <= case.body["quiet_hours"].keys():
            case.body.pop("quiet_hours")
    # A name of an admin's own must be none of the program's; no schema says so.
    if isinstance(case.body, dict):
        for name in ("type", "event"):
            if isinstance(case.body.get(name), str) and case.body[name] in NAMES:
                case.body[name] = "x-" + case.body[name]
    # Exactly one kind of recipients.
    if case.operation.path == "/api/v1/notifications" and isinstance(case.body, dict):
        kinds = ("user_id", "user_ids", "role", "team", "all")
        given = [kind for kind in kinds if case.body.get(kind)] or ["role"]
        for kind in kinds:
            if kind != given[0]:
                case.body.pop(kind, None)
        # Users who are there.
        if given[0] == "user_id":
            case.body["user_id"] = SPARE
        if given[0] == "user_ids":
            case.body["user_ids"] = [SPARE]
        # A time that lies ahead.
        if case.body.get("expires_at"):
            case.body["expires_at"] = "2999-01-01T00:00:00Z"
        if given == ["role"]:
            case.body["role"] = case.body.get("role") or "admin"
    # An event and a user of whom there is something to say.
    if case.operation.path.endswith("/notifications/explain") and case.query:
        case.query.update(user_id=SPARE, event_seq="1")
    # A key that was used with another body is refused, and the same key comes again and again here.
    for name in list(case.headers or {}):
        if name.lower() == "idempotency-key":
            case.headers[name] = str(uuid.UUID(int=next(keys)))


@schemathesis.hook
def after_call(context, case, response):
    calls[case.operation.definition.raw.get("operationId", case.operation.label)][response.status_code] += 1


def write():
    with open(os.environ["CALLBOARD_CALLS"], "w") as file:
        json.dump(calls, file, indent=1)


atexit.register(write)
