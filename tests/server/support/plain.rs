//! Clients without a library: a bare WebSocket on `/ws`, and a reader of the event stream.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::{Heard, described};

/// A bare WebSocket. Dropping it breaks the connection.
pub struct Plain {
    pub heard: Heard,
    send: mpsc::UnboundedSender<Message>,
    next_id: AtomicU64,
    task: tokio::task::JoinHandle<()>,
}

/// What a WebSocket handshake was refused with.
#[derive(Debug)]
pub struct NotUpgraded {
    pub status: u16,
    pub body: Value,
}

impl Plain {
    /// `/ws` with this query; `Err` when the server answers with anything but the upgrade. A server that does not answer
    /// at all is status 0.
    pub async fn try_open(ws_url: &str, query: &str) -> Result<Plain, NotUpgraded> {
        Plain::try_open_hearing(ws_url, query, Heard::default()).await
    }

    /// The same, with what is heard added to what was heard before.
    pub async fn try_open_hearing(
        ws_url: &str,
        query: &str,
        heard: Heard,
    ) -> Result<Plain, NotUpgraded> {
        let opened = tokio_tungstenite::connect_async(format!("{ws_url}/ws?{query}")).await;
        let (websocket, _) = opened.map_err(|error| match error {
            tokio_tungstenite::tungstenite::Error::Http(response) => NotUpgraded {
                status: response.status().as_u16(),
                body: response
                    .body()
                    .as_ref()
                    .and_then(|body| serde_json::from_slice(body).ok())
                    .unwrap_or_default(),
            },
            other => NotUpgraded {
                status: 0,
                body: json!(other.to_string()),
            },
        })?;
        let (mut sink, mut source) = websocket.split();
        let (send, mut outgoing) = mpsc::unbounded_channel::<Message>();
        let ears = heard.clone();
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    message = outgoing.recv() => match message {
                        Some(message) => if sink.send(message).await.is_err() { continue },
                        None => return,
                    },
                    message = source.next() => match message {
                        Some(Ok(Message::Text(text))) => ears.push(report(&text)),
                        Some(Ok(Message::Close(frame))) => {
                            let code = frame.as_ref().map(|frame| u16::from(frame.code));
                            return ears.push(json!({"on": "closed", "code": code}));
                        }
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => return ears.push(json!({"on": "closed", "code": null})),
                    },
                }
            }
        });
        Ok(Plain {
            heard,
            send,
            next_id: AtomicU64::new(1),
            task,
        })
    }

    pub async fn open(ws_url: &str, query: &str) -> Plain {
        Plain::try_open(ws_url, query)
            .await
            .unwrap_or_else(|refused| panic!("no WebSocket: {refused:?}"))
    }

    /// Asks `{"id":…,"type":kind,…}`; the whole answer.
    pub async fn ask(&self, kind: &str, mut members: Value) -> Value {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        members["id"] = json!(id);
        members["type"] = json!(kind);
        self.text(&members.to_string());
        let answers = |report: &Value| report["on"] == "answer" && report["answer"]["id"] == id;
        let what = format!("the answer to {kind}");
        let answer = self.heard.wait(&what, answers).await["answer"].take();
        let mut bare = answer.clone();
        bare.as_object_mut().map(|members| members.remove("id"));
        described::hold_answer(kind, &bare);
        answer
    }

    pub fn text(&self, text: &str) {
        let _ = self.send.send(Message::text(text));
    }

    pub fn binary(&self, bytes: Vec<u8>) {
        let _ = self.send.send(Message::binary(bytes));
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn report(text: &str) -> Value {
    match serde_json::from_str::<Value>(text) {
        Ok(event) if event["event"].is_string() => {
            json!({"on": "event", "name": event["event"], "args": [event]})
        }
        Ok(answer) => json!({"on": "answer", "answer": answer}),
        Err(_) => json!({"on": "strange", "text": text}),
    }
}

/// A reader of `/api/v1/events`. Dropping it breaks the connection.
pub struct Stream {
    pub heard: Heard,
    task: tokio::task::JoinHandle<()>,
}

impl Stream {
    /// `Err` is the answer's status and body; a server that does not answer is status 0.
    pub async fn try_open(
        url: &str,
        query: &str,
        last_event_id: Option<&str>,
    ) -> Result<Stream, (u16, Value)> {
        Stream::try_open_hearing(url, query, last_event_id, Heard::default()).await
    }

    /// The same, with what is heard added to what was heard before.
    pub async fn try_open_hearing(
        url: &str,
        query: &str,
        last_event_id: Option<&str>,
        heard: Heard,
    ) -> Result<Stream, (u16, Value)> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("an HTTP client");
        let mut request = client
            .get(format!("{url}/api/v1/events?{query}"))
            .header("accept", "text/event-stream");
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = request
            .send()
            .await
            .map_err(|error| (0, json!(error.to_string())))?;
        let status = response.status();
        if !status.is_success() {
            let body = response.bytes().await.unwrap_or_default();
            return Err((
                status.as_u16(),
                serde_json::from_slice(&body).unwrap_or_default(),
            ));
        }
        let kind = response
            .headers()
            .get("content-type")
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default();
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        let ears = heard.clone();
        let task = tokio::spawn(async move {
            let mut body = response.bytes_stream();
            let mut waiting = Vec::new();
            while let Some(Ok(bytes)) = body.next().await {
                waiting.extend_from_slice(&bytes);
                while let Some(end) = waiting.windows(2).position(|pair| pair == b"\n\n") {
                    let block: Vec<u8> = waiting.drain(..end + 2).collect();
                    if let Some(event) = event(&String::from_utf8_lossy(&block)) {
                        ears.push(event);
                    }
                }
            }
            ears.push(json!({"on": "closed", "code": null}));
        });
        Ok(Stream { heard, task })
    }

    pub async fn open(url: &str, query: &str) -> Stream {
        Stream::try_open(url, query, None)
            .await
            .unwrap_or_else(|refused| panic!("no event stream: {refused:?}"))
    }

    /// The last `id:` that was heard, as a browser would send it.
    pub fn last_event_id(&self) -> Option<String> {
        self.heard
            .all()
            .iter()
            .rev()
            .find_map(|report| report["id"].as_str().map(str::to_owned))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One block of the stream; `None` for comments.
fn event(block: &str) -> Option<Value> {
    let field = |name: &str| {
        let lines: Vec<&str> = block
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(|value| value.strip_prefix(' ').unwrap_or(value))
            .collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    };
    let data: Value = serde_json::from_str(&field("data")?).unwrap_or(Value::Null);
    Some(json!({"on": "event", "name": field("event"), "id": field("id"), "args": [data]}))
}
