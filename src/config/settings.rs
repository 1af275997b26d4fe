//! The table of settings. `.env.example` and docs/OPERATIONS.md are compared with it by a test.

/// One variable.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub name: &'static str,
    /// What holds when it is absent or empty; empty itself when there is none.
    pub default: &'static str,
    pub meaning: &'static str,
    /// Shown as `***` wherever its value would be.
    pub secret: bool,
}

const fn open(name: &'static str, default: &'static str, meaning: &'static str) -> Setting {
    Setting {
        name,
        default,
        meaning,
        secret: false,
    }
}

const fn secret(name: &'static str, default: &'static str, meaning: &'static str) -> Setting {
    Setting {
        name,
        default,
        meaning,
        secret: true,
    }
}

/// Every variable, in the order of the documents.
#[rustfmt::skip]
pub const SETTINGS: &[Setting] = &[
    open("APP_ENV", "development", "development or production; production refuses to start without a JWT key of your own, or with a wildcard origin together with credentials"),
    open("SOCKET_HOST", "127.0.0.1", "the address where HTTP and sockets listen"),
    open("SOCKET_PORT", "3002", "the port for everything; 0 picks a free one and prints it"),
    open("SOCKET_CORS_ORIGIN", "http://localhost:5173", "browser origins that may call, comma list or *; for REST, polling and the WebSocket alike"),
    open("SOCKET_CORS_CREDENTIALS", "true", "whether browsers may send credentials"),
    open("MAX_SOCKET_CONNECTIONS", "20000", "above it a new socket is refused with too_many_connections"),
    open("SOCKET_PING_INTERVAL", "25000", "Engine.IO heartbeat: milliseconds between pings"),
    open("SOCKET_PING_TIMEOUT", "20000", "Engine.IO heartbeat: milliseconds that a client has to answer"),
    open("SOCKET_MAX_PAYLOAD", "1000000", "bytes of one incoming message"),
    open("SOCKET_RECONNECTION_DELAY", "1000", "milliseconds before a client comes back, told to it in `ready`"),
    open("SOCKET_RECONNECTION_MAX_DELAY", "5000", "the longest such delay, told to clients in `ready`; raise both to spread a herd"),
    secret("DATABASE_URL", "sqlite://data/callboard.db", "sqlite://path or postgres://user:password@host/database"),
    secret("REDIS_URL", "", "redis://… or rediss://…; set: this node is one of several"),
    open("STORAGE_URL", "file://data/files", "where file bodies are kept: file://folder or s3://bucket/prefix"),
    secret("JWT_SECRET", "", "key of our own access tokens (HS256), 32 bytes at least; generated into the data folder with mode 0600 when not given"),
    open("JWT_PUBLIC_KEY_FILE", "", "public key (PEM) of an outside issuer whose tokens are accepted: RS256, ES256 or EdDSA"),
    open("JWT_JWKS_FILE", "", "key set (JSON) of an outside issuer whose tokens are accepted"),
    open("JWT_ISSUER", "", "the `iss` that every token must have, when set"),
    open("JWT_AUDIENCE", "", "the `aud` that every token must have, when set"),
    open("ADMIN_EMAIL", "admin@localhost", "the first admin, created only when there is none"),
    secret("ADMIN_PASSWORD", "", "its password, 8 to 1024 characters; generated and printed once when not given"),
    open("ACTIVITY_DB_ENABLED", "true", "write the activity history; false: everything else keeps working"),
    open("NOTIFICATION_ENABLED", "true", "make notifications; false: everything else keeps working"),
    open("PRESENCE_TRACKING_ENABLED", "true", "track who is online and who views what; false: everything else keeps working"),
    open("NOTIFICATION_RETENTION_DAYS", "30", "days that a notification is kept"),
    open("NOTIFICATION_RATE_LIMIT", "50", "notifications per user and hour; what is above is folded into one"),
    open("NOTIFICATION_BATCH_SIZE", "100", "recipients that one transaction deals with"),
    open("NOTIFICATION_BATCH_TIMEOUT", "5000", "milliseconds that one such batch may take; above, it is given up and tried again"),
    open("ACTIVITY_RETENTION_DAYS", "90", "days that an activity row is kept; 0 keeps for ever"),
    open("ACTIVITY_INDEX_CLEANUP_INTERVAL", "86400000", "milliseconds between two clean-ups of the activity history"),
    secret("ACTIVITY_SIGNING_KEY", "", "key that signs the end of the activity chain, 32 bytes at least, the same on every node; generated into the data folder with mode 0600 when not given"),
    open("RECORD_RETENTION_HOURS", "72", "how far back a client can resume; 0 keeps only what a consumer still needs"),
    open("PRESENCE_TIMEOUT", "300000", "milliseconds until a viewer by REST alone is forgotten"),
    open("PRESENCE_CLEANUP_INTERVAL", "60000", "milliseconds between two clean-ups of the presence registry"),
    open("JOB_WORKERS", "2", "built-in job workers of this node; 0: none"),
    open("UPLOAD_MAX_BYTES", "2147483648", "bytes of one uploaded file"),
    open("REQUIRE_IF_MATCH", "false", "true: a write to an episode or composition without If-Match gets 428"),
    open("LOG_FORMAT", "pretty", "pretty or json"),
    open("RUST_LOG", "info", "what is logged: a level, or target=level, comma list"),
    open("OTEL_EXPORTER_OTLP_ENDPOINT", "", "http://host:port of an OpenTelemetry collector; set: traces are sent to it (OTLP over HTTP, /v1/traces)"),
    open("CALLBOARD_FAULTS", "false", "true or 1: actors can be told to panic over REST, for fault tests; never in earnest"),
];

/// The row of a variable that the program itself asks for.
pub fn setting(name: &str) -> &'static Setting {
    SETTINGS
        .iter()
        .find(|setting| setting.name == name)
        .expect("every variable that is read stands in the table")
}
