//! Structured logs: `pretty` for people, `json` for machines; always to standard error, so that
//! standard output belongs to the commands. And, if a collector is named, traces (OTLP).

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use std::time::Duration;

use actix_web::http::header::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Span;
use tracing::level_filters::LevelFilter;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

pub use self::writer::Log;
use self::writer::{Writing, standard_error, tell_losses};
use crate::config::{Config, LogFormat};

mod writer;

/// What is no HTTP or no WebSocket frame is no error of the server's: the client is refused, which is enough, and whoever
/// likes could fill the log with it.
const CLIENTS_ERRORS: &str = "actix_http::h1::dispatcher=off,actix_http::ws=off";

/// The name under which a collector has us, unless `OTEL_SERVICE_NAME` says otherwise.
const SERVICE: &str = "callboard";

/// What the last traces have at most.
const LAST_TRACES: Duration = Duration::from_secs(1);

type Boxed = Box<dyn Layer<Registry> + Send + Sync>;

/// What has to be sent before the program ends.
pub struct Telemetry {
    log: Log,
    writing: Option<Writing>,
    traces: Option<SdkTracerProvider>,
}

/// Called once, by the program, outside any runtime. A server in a test has whatever its test set up.
pub fn init(config: &Config) -> Telemetry {
    let log = Log::default();
    let writing = Writing::start(&log, standard_error(), tell_losses)
        .inspect_err(|error| eprintln!("nothing will be logged: {error}"))
        .ok();
    let mut layers = vec![log_layer(config, log.clone())];
    let traces = config.otlp_endpoint.as_deref().and_then(exporter);
    if let Some(provider) = &traces {
        // The program's own spans, of whatever level the log is.
        let ours = filter_fn(|about| about.is_span() && about.target().starts_with("callboard"))
            .with_max_level_hint(LevelFilter::DEBUG);
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer(SERVICE));
        layers.push(layer.with_filter(ours).boxed());
    }
    // An `Err` says that a subscriber is there already, which is as good.
    let _ = tracing_subscriber::registry().with(layers).try_init();
    std::panic::set_hook(Box::new(log_panic));
    Telemetry {
        log,
        writing,
        traces,
    }
}

/// A panic is a line of the log. (What Rust does by itself is to write to standard error at once, and to wait there.)
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or_default();
    let what = panic.payload_as_str().unwrap_or_default();
    let place = panic.location().map(ToString::to_string);
    let trace = Backtrace::capture();
    let trace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
    tracing::error!(thread, what, place, trace, "panicked");
}

impl Telemetry {
    /// The log, which knows what is lost of it.
    pub fn log(&self) -> Log {
        self.log.clone()
    }

    /// Sends what waits to be sent, if that takes no longer than this. A collector that does not answer must not keep the
    /// program from ending in time, nor must who reads the log.
    pub fn finish(self, left: Duration) {
        if let Some(provider) = self.traces
            && let Err(error) = provider.shutdown_with_timeout(left.min(LAST_TRACES))
        {
            tracing::warn!(%error, "the last traces were not sent");
        }
        if let Some(writing) = self.writing {
            writing.finish(left);
        }
    }
}

fn log_layer(config: &Config, log: Log) -> Boxed {
    let filter = format!("{CLIENTS_ERRORS},{}", config.log_filter);
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let layer = fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(log);
    match config.log_format {
        LogFormat::Pretty => layer.with_filter(filter).boxed(),
        LogFormat::Json => layer
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_filter(filter)
            .boxed(),
    }
}

/// `None`: it cannot be made. The program runs without, and says so.
fn exporter(endpoint: &str) -> Option<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(format!("{endpoint}/v1/traces"))
        .build()
        // The log is not there yet.
        .inspect_err(|error| eprintln!("no traces will be sent to {endpoint}: {error}"))
        .ok()?;
    let mut resource = Resource::builder();
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name(SERVICE);
    }
    let provider = SdkTracerProvider::builder()
        .with_resource(resource.build())
        .with_batch_exporter(exporter);
    Some(provider.build())
}

/// Makes a request's span a part of the caller's trace, if it sends one (W3C Trace Context). Without a collector this is
/// not to be called: it would cost each request the reading of headers.
pub fn join(span: &Span, headers: &HeaderMap) {
    let context = TraceContextPropagator::new().extract(&Headers(headers));
    // An `Err` says that nobody collects this span.
    let _ = span.set_parent(context);
}

/// What the span tells beyond the log's line.
pub fn describe(span: &Span, method: &str, path: &str, status: u16) {
    span.set_attribute("http.request.method", method.to_owned());
    span.set_attribute("url.path", path.to_owned());
    span.set_attribute("http.response.status_code", i64::from(status));
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}
