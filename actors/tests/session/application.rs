//! The application behind the tests: an echo, and some bad habits on demand.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use callboard_actors::session::{
    Admission, Application, Arguments, Connect, Connection, Protocol, Reason, Refused, Socket,
    Visit, Welcome,
};
use futures_util::future::BoxFuture;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::{Mutex, Semaphore, mpsc};

pub struct Echo {
    pub connections: parking_lot::Mutex<HashMap<String, Arc<dyn Connection>>>,
    pub sockets: parking_lot::Mutex<Vec<Socket>>,
    /// Acknowledgements of what the engine did not ask.
    pub strange: parking_lot::Mutex<Vec<(String, u64, usize)>>,
    pub counts: Counts,
    /// `wait` goes on for each permit.
    pub permits: Arc<Semaphore>,
    told: mpsc::UnboundedSender<News>,
    news: Mutex<mpsc::UnboundedReceiver<News>>,
}

#[derive(Default)]
pub struct Counts {
    pub opened: AtomicUsize,
    pub closed: AtomicUsize,
    pub let_in: AtomicUsize,
    pub disconnected: AtomicUsize,
    pub waiting: Arc<AtomicUsize>,
    pub waiting_most: Arc<AtomicUsize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    Connected(String),
    Disconnected(String, Reason),
    Closed(Reason),
}

impl Echo {
    pub fn new() -> Arc<Echo> {
        let (told, news) = mpsc::unbounded_channel();
        Arc::new(Echo {
            connections: Default::default(),
            sockets: Default::default(),
            strange: Default::default(),
            counts: Counts::default(),
            permits: Arc::new(Semaphore::new(0)),
            told,
            news: Mutex::new(news),
        })
    }

    /// What happened next.
    pub async fn news(&self) -> News {
        let mut news = self.news.lock().await;
        let within = std::time::Duration::from_secs(20);
        let next = tokio::time::timeout(within, news.recv()).await;
        next.expect("nothing happened").expect("the sender is here")
    }

    /// Waits until a connection is closed.
    pub async fn closed(&self) -> Reason {
        loop {
            if let News::Closed(reason) = self.news().await {
                return reason;
            }
        }
    }

    /// Waits until a socket is in, and gives it.
    pub async fn connected(&self) -> Socket {
        loop {
            if let News::Connected(_) = self.news().await {
                return self.socket();
            }
        }
    }

    /// The last socket that was let in.
    pub fn socket(&self) -> Socket {
        self.sockets.lock().last().expect("a socket").clone()
    }
}

fn text(value: &str) -> Arguments {
    Arguments::one(&value).expect("a string is JSON")
}

impl Application for Echo {
    fn admit(&self, visit: &Visit, _: Protocol) -> Result<Admission, Refused> {
        if visit.query().contains("full") {
            return Err(refused(503, "too_many_connections"));
        }
        Ok(Box::new(()))
    }

    fn connect(&self, connect: Connect) -> BoxFuture<'static, Result<Welcome, Refused>> {
        let welcome = Welcome {
            sid: uuid::Uuid::new_v4().simple().to_string(),
            pid: None,
            state: Arc::new(connect.auth),
        };
        match connect.namespace.as_deref() {
            None if connect.visit.query().contains("token=panic") => {
                Box::pin(async { panic!("connect, as asked") })
            }
            None if connect.visit.query().contains("token=bad") => {
                Box::pin(async { Err(refused(401, "unauthorized")) })
            }
            Some("/never") => Box::pin(std::future::pending()),
            Some("/panic") => Box::pin(async { panic!("connect, as asked") }),
            Some("/refused") => Box::pin(async {
                Err(Refused {
                    status: 403,
                    message: "no".into(),
                    data: Some(to_raw_value(&json!({"code": "forbidden", "n": 1})).unwrap()),
                    body: None,
                    headers: Vec::new(),
                })
            }),
            Some("/") | Some("/custom") | None => {
                self.counts.let_in.fetch_add(1, Ordering::SeqCst);
                Box::pin(async { Ok(welcome) })
            }
            Some("/pid") => {
                self.counts.let_in.fetch_add(1, Ordering::SeqCst);
                let pid = Some("p".to_owned());
                Box::pin(async { Ok(Welcome { pid, ..welcome }) })
            }
            Some(_) => Box::pin(async { Err(refused(404, "Invalid namespace")) }),
        }
    }

    fn connected(&self, socket: Socket) -> BoxFuture<'static, ()> {
        let namespace = socket.namespace.to_string();
        if socket.connection.protocol() == Protocol::SocketIo {
            let auth = socket.state.downcast_ref::<Option<Box<RawValue>>>();
            let auth = auth.cloned().flatten();
            let auth = auth.unwrap_or_else(|| to_raw_value(&json!({})).unwrap());
            let panics = auth.get().contains("panic in connected");
            let _ = socket.emit("auth", &Arguments::one(&auth).unwrap());
            if panics {
                return Box::pin(async { panic!("connected, as asked") });
            }
        }
        self.sockets.lock().push(socket);
        let told = self.told.clone();
        Box::pin(async move {
            let _ = told.send(News::Connected(namespace));
        })
    }

    fn event(
        &self,
        socket: Socket,
        name: String,
        arguments: Arguments,
    ) -> BoxFuture<'static, Option<Arguments>> {
        let now =
            |answer| -> BoxFuture<'static, Option<Arguments>> { Box::pin(async move { answer }) };
        match (socket.connection.protocol(), name.as_str()) {
            (Protocol::EngineIo, _) | (_, "message-with-ack") => now(Some(arguments)),
            (_, "message") => {
                let _ = socket.emit("message-back", &arguments);
                now(None)
            }
            (_, "block") => {
                std::thread::sleep(std::time::Duration::from_millis(1500));
                now(None)
            }
            (_, "panic") => Box::pin(async { panic!("event, as asked") }),
            (_, "wait") => {
                let (permits, waiting) =
                    (Arc::clone(&self.permits), Arc::clone(&self.counts.waiting));
                let most = Arc::clone(&self.counts.waiting_most);
                Box::pin(async move {
                    let now = waiting.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    permits.acquire().await.unwrap().forget();
                    waiting.fetch_sub(1, Ordering::SeqCst);
                    Some(arguments)
                })
            }
            (Protocol::Plain, _) => {
                let answer = json!({"ok": true, "said": name});
                now(Some(Arguments::one(&answer).unwrap()))
            }
            _ => now(Some(text("unknown"))),
        }
    }

    fn acknowledged(&self, socket: Socket, id: u64, arguments: Arguments) {
        let namespace = socket.namespace.to_string();
        let mut strange = self.strange.lock();
        strange.push((namespace, id, arguments.args.len()));
    }

    fn disconnected(&self, socket: Socket, reason: Reason) {
        self.counts.disconnected.fetch_add(1, Ordering::SeqCst);
        self.sockets.lock().retain(|other| other.sid != socket.sid);
        let namespace = socket.namespace.to_string();
        let _ = self.told.send(News::Disconnected(namespace, reason));
    }

    fn opened(&self, connection: Arc<dyn Connection>) {
        self.counts.opened.fetch_add(1, Ordering::SeqCst);
        let id = connection.id().to_string();
        self.connections.lock().insert(id, connection);
    }

    fn closed(&self, connection: Arc<dyn Connection>, reason: Reason) {
        self.counts.closed.fetch_add(1, Ordering::SeqCst);
        self.connections.lock().remove(&**connection.id());
        let _ = self.told.send(News::Closed(reason));
    }
}

fn refused(status: u16, message: &str) -> Refused {
    let body = json!({"code": message}).to_string();
    Refused {
        status,
        message: message.into(),
        data: None,
        headers: Vec::new(),
        body: Some(("application/problem+json".into(), body)),
    }
}
