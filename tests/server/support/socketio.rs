//! A minimal Socket.IO client over one WebSocket, written from the protocol: for tests that need to see each packet, to
//! stop reading, or to have five hundred of them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::Heard;
use super::rest::text;

/// One socket in one namespace on a connection of its own. Dropping it breaks the connection.
pub struct SocketIo {
    pub heard: Heard,
    namespace: String,
    send: mpsc::UnboundedSender<Message>,
    reading: watch::Sender<bool>,
    next_ack: AtomicU64,
    task: tokio::task::JoinHandle<()>,
}

/// What a client keeps to come back with.
#[derive(Clone, Debug)]
pub struct Memory {
    pub pid: String,
    pub offset: String,
}

impl SocketIo {
    /// Connects and asks for the namespace; what the server says is heard as `connect` or `connect_error`.
    pub async fn open(port: u16, namespace: &str, auth: Value) -> SocketIo {
        SocketIo::open_hearing(port, namespace, auth, Heard::default()).await
    }

    /// The same, with what is heard added to what was heard before.
    pub async fn open_hearing(port: u16, namespace: &str, auth: Value, heard: Heard) -> SocketIo {
        SocketIo::try_open(port, namespace, auth, heard)
            .await
            .unwrap_or_else(|error| panic!("no WebSocket: {error}"))
    }

    async fn try_open(
        port: u16,
        namespace: &str,
        auth: Value,
        heard: Heard,
    ) -> Result<SocketIo, Box<dyn std::error::Error + Send + Sync>> {
        let socket = TcpSocket::new_v4()?;
        // Small, so that a client that stops reading is felt by the server and not hidden by our kernel.
        socket.set_recv_buffer_size(16 * 1024)?;
        let stream = socket
            .connect(SocketAddr::from(([127, 0, 0, 1], port)))
            .await?;
        stream.set_nodelay(true)?;
        let request = format!("ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket")
            .into_client_request()?;
        let (websocket, _) = tokio_tungstenite::client_async(request, stream).await?;
        let (mut sink, mut source) = websocket.split();

        let (send, mut outgoing) = mpsc::unbounded_channel::<Message>();
        let (reading, mut may_read) = watch::channel(true);
        let (ears, pongs, prefix) = (heard.clone(), send.clone(), prefix(namespace));
        let task = tokio::spawn(async move {
            let writing = async {
                while let Some(message) = outgoing.recv().await {
                    if sink.send(message).await.is_err() {
                        break;
                    }
                }
                std::future::pending::<()>().await;
            };
            let listening = async {
                loop {
                    if may_read.wait_for(|may| *may).await.is_err() {
                        return;
                    }
                    let message = tokio::select! {
                        message = source.next() => message,
                        _ = may_read.wait_for(|may| !*may) => continue,
                    };
                    match message {
                        Some(Ok(Message::Text(packet))) if packet.as_str() == "2" => {
                            let _ = pongs.send(Message::text("3"));
                        }
                        Some(Ok(Message::Text(packet))) => report(&packet, &prefix, &ears),
                        Some(Ok(Message::Close(frame))) => {
                            let code = frame.as_ref().map(|frame| u16::from(frame.code));
                            ears.push(json!({"on": "closed", "code": code}));
                            return;
                        }
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => {
                            ears.push(json!({"on": "closed", "code": null}));
                            return;
                        }
                    }
                }
            };
            tokio::select! { () = writing => {}, () = listening => {} }
        });
        let client = SocketIo {
            heard,
            namespace: namespace.to_owned(),
            send,
            reading,
            next_ack: AtomicU64::new(1),
            task,
        };
        client.packet(&format!("40{}{auth}", client.prefix()));
        Ok(client)
    }

    /// Connected, let in, and past its `ready`.
    pub async fn connected(port: u16, namespace: &str, token: &str) -> SocketIo {
        let client = SocketIo::open(port, namespace, json!({"token": token})).await;
        client.heard.on("connect").await;
        client.heard.event("ready").await;
        client
    }

    /// Comes back with what another one remembers.
    pub async fn resumed(port: u16, namespace: &str, token: &str, memory: &Memory) -> SocketIo {
        let auth = json!({"token": token, "pid": memory.pid, "offset": memory.offset});
        let client = SocketIo::open(port, namespace, auth).await;
        client.heard.on("connect").await;
        client
    }

    fn prefix(&self) -> String {
        prefix(&self.namespace)
    }

    /// Sends one packet as it stands.
    pub fn packet(&self, packet: &str) {
        let _ = self.send.send(Message::text(packet));
    }

    pub fn emit(&self, event: &str, argument: Value) {
        self.packet(&format!("42{}{}", self.prefix(), json!([event, argument])));
    }

    /// Emits, and gives the acknowledgement's first argument.
    pub async fn ask(&self, event: &str, argument: Value) -> Value {
        let id = self.next_ack.fetch_add(1, Ordering::Relaxed);
        self.packet(&format!(
            "42{}{id}{}",
            self.prefix(),
            json!([event, argument])
        ));
        let acks = |report: &Value| report["on"] == "ack" && report["id"] == id;
        self.heard
            .wait(&format!("the acknowledgement of {event}"), acks)
            .await["args"][0]
            .take()
    }

    /// From now on nothing is read from the connection, and nothing is said on it.
    pub fn stall(&self) {
        self.reading.send_replace(false);
    }

    /// The id under which the server lists it.
    pub fn sid(&self) -> String {
        let connect = self
            .heard
            .all()
            .into_iter()
            .rev()
            .find(|report| report["on"] == "connect");
        text(&connect.expect("it is connected")["sid"])
    }

    /// What it would come back with now.
    pub fn memory(&self) -> Memory {
        let all = self.heard.all();
        let pid = all
            .iter()
            .rev()
            .find(|report| report["on"] == "connect")
            .map(|report| text(&report["pid"]));
        let offset = all
            .iter()
            .rev()
            .filter(|report| report["on"] == "event")
            .find_map(|report| match report["seq"].as_u64() {
                Some(seq) => Some(seq.to_string()),
                None => Some(report["args"].as_array()?.last()?.as_str()?.to_owned()),
            });
        Memory {
            pid: pid.expect("a pid"),
            offset: offset.expect("an event with an offset"),
        }
    }
}

impl Drop for SocketIo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn prefix(namespace: &str) -> String {
    if namespace == "/" {
        String::new()
    } else {
        format!("{namespace},")
    }
}

fn report(packet: &str, prefix: &str, heard: &Heard) {
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
    let body = |kind: &str| packet.strip_prefix(kind)?.strip_prefix(prefix);
    if let Some(open) = packet.strip_prefix('0') {
        heard.push(json!({"on": "open", "handshake": parsed(open)}));
    } else if let Some(answer) = body("40") {
        let answer = parsed(answer);
        heard.push(json!({"on": "connect", "sid": answer["sid"], "pid": answer["pid"]}));
    } else if body("41").is_some() {
        heard.push(json!({"on": "disconnect"}));
    } else if let Some(seq) = body("42").filter(|_| heard.is_brief()).and_then(offset) {
        heard.push(json!({"on": "event", "name": null, "seq": seq}));
    } else if let Some(event) = body("42") {
        let digits = event.find('[').unwrap_or(event.len());
        let Value::Array(mut args) = parsed(&event[digits..]) else {
            return heard.push(json!({"on": "strange", "packet": packet}));
        };
        let name = args.remove(0);
        let mut report = json!({"on": "event", "name": name, "args": args});
        // The number under which the server wants an answer.
        if let Ok(number) = event[..digits].parse::<u64>() {
            report["number"] = json!(number);
        }
        heard.push(report);
    } else if let Some(ack) = body("43") {
        let digits = ack.find('[').unwrap_or(ack.len());
        heard.push(json!({"on": "ack", "id": ack[..digits].parse::<u64>().ok(), "args": parsed(&ack[digits..])}));
    } else if let Some(refusal) = body("44") {
        let refusal = parsed(refusal);
        heard.push(
            json!({"on": "connect_error", "message": refusal["message"], "data": refusal["data"]}),
        );
    } else {
        heard.push(json!({"on": "strange", "packet": packet}));
    }
}

/// The offset at the end of a recorded event, without reading what stands before it: some tests hear a million events.
fn offset(event: &str) -> Option<u64> {
    let recorded = event.get(..200).unwrap_or(event).contains("\"seq\":");
    let (_, offset) = event.strip_suffix("\"]")?.rsplit_once('"')?;
    offset.parse().ok().filter(|_| recorded)
}
