//! What is read off at the moment of asking: the actors' accounts, the sockets, the Record, the process.

use std::collections::BTreeMap;

use callboard_actors::model::record::Seq;
use callboard_actors::model::room::Namespace;
use callboard_actors::runtime::{Account, Count};
use callboard_actors::session::Reason;
use callboard_actors::socket_registry::Stats;
use prometheus::{Counter, CounterVec, Gauge, IntCounter, IntGauge, IntGaugeVec, Opts, Registry};

use super::process::Process;
use super::register;

/// A part that could not be read is missing from the answer, and `callboard_up` says so.
pub struct Readings {
    pub version: &'static str,
    pub uptime_seconds: f64,
    pub ready: bool,
    pub actors: Vec<Account>,
    /// Actors that do not hold at the moment.
    pub down: Vec<&'static str>,
    pub counts: Vec<Count>,
    pub sockets: Option<Stats>,
    /// Connections that this server takes.
    pub connections_limit: usize,
    pub log_lines_lost: u64,
    /// The last `seq`, and how far each consumer has come.
    pub record: Option<(Seq, Vec<(String, Seq)>)>,
}

/// The readings as metrics: made anew each time, since none of these numbers is counted here.
pub fn snapshot(readings: &Readings) -> Registry {
    let sheet = Sheet(Registry::new());
    sheet.gauges(
        "callboard_build_info",
        "The running version",
        "version",
        [(readings.version, 1)],
    );
    sheet.seconds(
        "callboard_uptime_seconds",
        "Since the start",
        readings.uptime_seconds,
    );
    sheet.gauge(
        "callboard_ready",
        "1 if new work should be sent here, as /health/ready says",
        readings.ready.into(),
    );
    sheet.gauges(
        "callboard_up",
        "1 for each part that answered",
        "part",
        [
            ("database", readings.record.is_some().into()),
            ("sockets", readings.sockets.is_some().into()),
        ],
    );
    actors(&sheet, &readings.actors, &readings.down);
    for count in &readings.counts {
        let name = format!("callboard_{}_total", count.name);
        sheet.counter(&name, count.meaning, count.value);
    }
    sheet.gauge(
        "callboard_connections_limit",
        "Connections that this server takes (MAX_SOCKET_CONNECTIONS)",
        readings.connections_limit as u64,
    );
    sheet.counter(
        "callboard_log_lines_lost_total",
        "Lines of the log that were lost: nobody read them as fast as they came",
        readings.log_lines_lost,
    );
    if let Some(stats) = &readings.sockets {
        sockets(&sheet, stats);
    }
    if let Some((last, cursors)) = &readings.record {
        sheet.gauge(
            "callboard_record_seq",
            "The last place given on the Record",
            *last,
        );
        sheet.gauges(
            "callboard_record_lag",
            "Entries of the Record that a consumer has yet to deal with",
            "consumer",
            cursors
                .iter()
                .map(|(name, at)| (name.as_str(), last.saturating_sub(*at))),
        );
    }
    process(&sheet, Process::read());
    sheet.0
}

fn actors(sheet: &Sheet, rows: &[Account], down: &[&str]) {
    let each = |value: fn(&Account) -> u64| rows.iter().map(move |row| (row.name, value(row)));
    sheet.gauges(
        "callboard_actor_instances",
        "Actors that run",
        "actor",
        each(|row| row.instances),
    );
    sheet.gauges(
        "callboard_actor_mailbox_depth",
        "Messages that wait or are in hand",
        "actor",
        each(|row| row.mailbox_depth),
    );
    sheet.gauges(
        "callboard_actor_mailbox_capacity",
        "Messages that the mailboxes hold",
        "actor",
        each(|row| row.mailbox_capacity),
    );
    sheet.gauges(
        "callboard_actor_down",
        "1 if a long-lived actor does not hold: it waits for its restart, or has just had one",
        "actor",
        rows.iter()
            .map(|row| (row.name, down.contains(&row.name).into())),
    );
    let total = |value: fn(&Account) -> u64| each(value).map(|(name, value)| (name, value as f64));
    for (name, help, value) in [
        (
            "handled",
            "Messages done",
            (|row| row.handled) as fn(&Account) -> u64,
        ),
        ("rejected", "Messages refused by a full mailbox", |row| {
            row.rejected
        }),
        ("lost", "Messages lost to a panic or an end", |row| row.lost),
        ("restarts", "Restarts after a panic", |row| row.restarts),
    ] {
        sheet.counters(
            &format!("callboard_actor_{name}_total"),
            help,
            "actor",
            total(value),
        );
    }
    sheet.counters(
        "callboard_actor_busy_seconds_total",
        "Time in handlers and in the futures that they left behind",
        "actor",
        rows.iter().map(|row| (row.name, row.busy_ms as f64 / 1e3)),
    );
}

/// Whatever has a name is there from the start, if only with 0: a series that appears with its first event hides that
/// event from whoever looks at the increase.
fn sockets(sheet: &Sheet, stats: &Stats) {
    let of = |map: &BTreeMap<&'static str, usize>, name| {
        (name, map.get(name).copied().unwrap_or_default() as u64)
    };
    sheet.gauges(
        "callboard_connections",
        "Open connections, by transport",
        "transport",
        ["websocket", "polling", "plain", "sse"].map(|name| of(&stats.by_transport, name)),
    );
    sheet.gauges(
        "callboard_sockets",
        "Sockets, by namespace",
        "namespace",
        Namespace::ALL.map(|namespace| of(&stats.by_namespace, namespace.path())),
    );
    sheet.gauge(
        "callboard_connected_users",
        "Users with a socket",
        stats.users as u64,
    );
    sheet.gauge(
        "callboard_outbox_bytes",
        "Bytes that wait for clients to read, over all connections",
        stats.queued_bytes as u64,
    );
    sheet.counter(
        "callboard_connections_opened_total",
        "Connections opened",
        stats.opened,
    );
    sheet.counters(
        "callboard_connections_closed_total",
        "Connections closed, by reason",
        "reason",
        Reason::ALL.map(|reason| {
            let count = stats.closed.get(reason.as_str()).copied();
            (reason.as_str(), count.unwrap_or_default() as f64)
        }),
    );
}

fn process(sheet: &Sheet, process: Process) {
    if let Some(bytes) = process.resident_bytes {
        sheet.gauge("process_resident_memory_bytes", "Resident memory", bytes);
    }
    if let Some(files) = process.open_files {
        sheet.gauge("process_open_fds", "Open files", files);
    }
    if let Some(seconds) = process.cpu_seconds {
        sheet.counted_seconds(
            "process_cpu_seconds_total",
            "Time on a processor, in user and system mode",
            seconds,
        );
    }
    if let Some(at) = process.started {
        sheet.seconds(
            "process_start_time_seconds",
            "When the process began, in seconds since the epoch",
            at,
        );
    }
}

/// Families of one scrape. Names and labels are constants: that one is not valid, or there twice, is a broken invariant.
struct Sheet(Registry);

const VALID: &str = "names and labels are constants, and valid";

impl Sheet {
    fn gauge(&self, name: &str, help: &str, value: u64) {
        let gauge = IntGauge::new(name, help).expect(VALID);
        gauge.set(signed(value));
        register(&self.0, Box::new(gauge));
    }

    fn seconds(&self, name: &str, help: &str, value: f64) {
        let gauge = Gauge::new(name, help).expect(VALID);
        gauge.set(value);
        register(&self.0, Box::new(gauge));
    }

    fn counted_seconds(&self, name: &str, help: &str, value: f64) {
        let counter = Counter::new(name, help).expect(VALID);
        counter.inc_by(value);
        register(&self.0, Box::new(counter));
    }

    fn gauges<'a>(
        &self,
        name: &str,
        help: &str,
        label: &str,
        rows: impl IntoIterator<Item = (&'a str, u64)>,
    ) {
        let gauges = IntGaugeVec::new(Opts::new(name, help), &[label]).expect(VALID);
        for (value_of_label, value) in rows {
            gauges
                .with_label_values(&[value_of_label])
                .set(signed(value));
        }
        register(&self.0, Box::new(gauges));
    }

    fn counter(&self, name: &str, help: &str, value: u64) {
        let counter = IntCounter::new(name, help).expect(VALID);
        counter.inc_by(value);
        register(&self.0, Box::new(counter));
    }

    fn counters<'a>(
        &self,
        name: &str,
        help: &str,
        label: &str,
        rows: impl IntoIterator<Item = (&'a str, f64)>,
    ) {
        let counters = CounterVec::new(Opts::new(name, help), &[label]).expect(VALID);
        for (value_of_label, value) in rows {
            counters.with_label_values(&[value_of_label]).inc_by(value);
        }
        register(&self.0, Box::new(counters));
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
