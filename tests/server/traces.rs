//! Traces, as a collector gets them.

use std::collections::HashMap;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, web};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use prost::Message;
use serde_json::json;
use tokio::sync::Notify;

use crate::support::plain::Plain;
use crate::support::server::id;
use crate::support::{Kind, Server, eventually, on_both_databases};

on_both_databases![
    one_trace_leads_from_the_request_through_the_actors_to_the_delivery,
    a_collector_that_is_not_there_costs_nothing_but_the_spans,
    a_collector_that_does_not_answer_does_not_hold_up_the_end,
];

/// Takes what is sent to `/v1/traces`.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    more: Arc<Notify>,
}

impl Collector {
    /// Listens on a free port, in a thread of its own.
    fn start() -> (Collector, u16) {
        let collector = Collector::default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let taken = collector.clone();
        std::thread::spawn(move || {
            let server = HttpServer::new(move || {
                let taken = taken.clone();
                App::new().route(
                    "/v1/traces",
                    web::post().to(move |body: web::Bytes| {
                        let request =
                            ExportTraceServiceRequest::decode(body).expect("an export request");
                        let groups = request.resource_spans.into_iter();
                        let spans = groups.flat_map(|group| group.scope_spans);
                        taken
                            .spans
                            .lock()
                            .extend(spans.flat_map(|scope| scope.spans));
                        taken.more.notify_one();
                        std::future::ready(HttpResponse::Ok().finish())
                    }),
                )
            });
            let server = server.workers(1).disable_signals().listen(listener);
            actix_web::rt::System::new().block_on(server.expect("to listen").run())
        });
        (collector, port)
    }

    /// The spans of a trace, by name, once all of these have come.
    async fn trace(&self, trace_id: &[u8], names: &[&str]) -> HashMap<String, Vec<Span>> {
        let come = async {
            loop {
                let mut trace: HashMap<String, Vec<Span>> = HashMap::new();
                for span in self
                    .spans
                    .lock()
                    .iter()
                    .filter(|span| span.trace_id == trace_id)
                {
                    trace
                        .entry(span.name.clone())
                        .or_default()
                        .push(span.clone());
                }
                if names.iter().all(|name| trace.contains_key(*name)) {
                    return trace;
                }
                self.more.notified().await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(60), come).await {
            Ok(trace) => trace,
            Err(_) => {
                let spans = self.spans.lock();
                let all: Vec<_> = spans
                    .iter()
                    .map(|span| (&span.name, &span.trace_id))
                    .collect();
                panic!("not all of {names:?} came: {all:?}")
            }
        }
    }
}

async fn one_trace_leads_from_the_request_through_the_actors_to_the_delivery(kind: Kind) {
    let (collector, port) = Collector::start();
    let endpoint = format!("http://127.0.0.1:{port}");
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
    ];
    let server = Server::with(kind, &settings).await;
    let editor = server.editor().await;
    let episode = editor.create_episode("Pilot", 1).await;
    let listener = Plain::open(&server.ws_url(), &format!("token={}", editor.token)).await;
    listener.heard.event("ready").await;

    // The caller's own trace goes on here.
    let trace_id = [0x4b_u8; 16];
    let parent = format!("00-{}-00f067aa0ba902b7-01", "4b".repeat(16));
    let response = reqwest::Client::new()
        .patch(format!("{}/api/v1/episodes/{}", server.url(), id(&episode)))
        .bearer_auth(&editor.token)
        .header("traceparent", parent)
        .json(&json!({"title": "Pilot, again"}))
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), 200);
    listener.heard.event("episode_updated").await;

    let names = [
        "request",
        "commit",
        "change",
        "broadcast",
        "deliver",
        "derive",
    ];
    let trace = collector.trace(&trace_id, &names).await;
    let request = &trace["request"][0];
    assert_eq!(
        request.parent_span_id,
        [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]
    );
    for (name, above) in [
        ("commit", "request"),
        ("change", "request"),
        ("broadcast", "change"),
        ("deliver", "broadcast"),
        ("derive", "change"),
    ] {
        // (Those who derive something commit it too.)
        let is_below = |span: &Span| span.parent_span_id == trace[above][0].span_id;
        assert!(trace[name].iter().any(is_below), "{name} is below {above}");
    }
    // What follows from the answer is no part of the time that it took.
    let derived = trace["derive"]
        .iter()
        .map(|span| span.end_time_unix_nano)
        .max();
    assert!(derived.is_some_and(|end| request.end_time_unix_nano < end));
}

async fn a_collector_that_is_not_there_costs_nothing_but_the_spans(kind: Kind) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("http://{}", free.local_addr().expect("its address"));
    drop(free);
    let settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let mut server = Server::with(kind, &settings).await;
    let editor = server.editor().await;
    editor.create_episode("Pilot", 1).await;
    server.sigterm();
    let within = Duration::from_secs(10);
    eventually("the end", within, || ready(server.ended().is_some())).await;
    let code = server.ended().and_then(|status| status.code());
    assert_eq!(code, Some(0), "{}", server.output());
}

/// It takes connections and says nothing: the exporter waits for it, the end of the program must not.
async fn a_collector_that_does_not_answer_does_not_hold_up_the_end(kind: Kind) {
    let mute = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("http://{}", mute.local_addr().expect("its address"));
    let settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let mut server = Server::with(kind, &settings).await;
    let editor = server.editor().await;
    editor.create_episode("Pilot", 1).await;
    server.sigterm();
    // By itself the exporter would wait for five seconds.
    let within = Duration::from_secs(4);
    eventually("the end", within, || ready(server.ended().is_some())).await;
    let code = server.ended().and_then(|status| status.code());
    assert_eq!(code, Some(0), "{}", server.output());
}
