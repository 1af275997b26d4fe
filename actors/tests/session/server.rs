//! A server of this process, on a thread and a free port of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use actix_web::{App, HttpRequest, web};
use callboard_actors::runtime::{Clock, Ledger};
use callboard_actors::session::{
    Application, Config, Counts, Engine, Listen, Protocol, Reason, serve,
};

use crate::application::Echo;

pub struct Server {
    pub address: SocketAddr,
    pub echo: Arc<Echo>,
    pub engine: Engine,
    pub bare: Engine,
    pub ledger: Ledger,
    handle: actix_web::dev::ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub async fn start() -> Server {
        Server::with(|_| {}).await
    }

    /// With other settings than the defaults. The heartbeat is far away unless a test brings it near.
    pub async fn with(set: impl FnOnce(&mut Config)) -> Server {
        Server::with_workers(1, set).await
    }

    pub async fn with_workers(workers: usize, set: impl FnOnce(&mut Config)) -> Server {
        let mut config = Config::default();
        set(&mut config);
        let ledger = Ledger::new(Clock::system());
        let echo = Echo::new();
        let application: Arc<dyn Application> = Arc::clone(&echo) as _;
        let bare = Config {
            path: "/engine.io/".into(),
            dialect: Protocol::EngineIo,
            plain_path: None,
            ..config.clone()
        };
        let engine = Engine::new(Arc::clone(&application), config, &ledger);
        let bare = Engine::new(application, bare, &ledger);

        let (tell, told) = tokio::sync::oneshot::channel();
        let engines = [engine.clone(), bare.clone()];
        let thread = std::thread::spawn(move || {
            actix_rt::System::new().block_on(async move {
                let listen = Listen {
                    workers,
                    ..Listen::default()
                };
                let behind = engines.clone();
                let factory = move || {
                    let [engine, bare] = behind.clone();
                    let events = engine.clone();
                    App::new()
                        .configure(|routes| engine.configure(routes))
                        .configure(|routes| bare.configure(routes))
                        .route(
                            "/events",
                            web::get().to(move |request: HttpRequest| {
                                let engine = events.clone();
                                async move { engine.events(&request).await }
                            }),
                        )
                };
                let serving = serve(&engines, &listen, factory).expect("a free port");
                let address = serving.addresses[0];
                assert!(tell.send((address, serving.handle)).is_ok());
                serving.server.await.expect("it serves");
            });
        });
        let (address, handle) = told.await.expect("it listens");
        Server {
            address,
            echo,
            engine,
            bare,
            ledger,
            handle,
            thread: Some(thread),
        }
    }

    pub fn counts(&self) -> [Counts; 2] {
        [self.engine.counts(), self.bare.counts()]
    }

    /// Waits until nothing is left, and checks that every end was told once. The test's clients must have gone, or
    /// have been sent away.
    pub async fn finish(mut self) {
        let until = Instant::now() + Duration::from_secs(10);
        while self.counts() != [Counts::default(); 2] {
            assert!(Instant::now() < until, "left behind: {:?}", self.counts());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let counts = &self.echo.counts;
        let both = |a: &std::sync::atomic::AtomicUsize, b: &std::sync::atomic::AtomicUsize| {
            (a.load(Ordering::SeqCst), b.load(Ordering::SeqCst))
        };
        let (opened, closed) = both(&counts.opened, &counts.closed);
        assert_eq!(opened, closed, "connections opened and closed");
        let (let_in, disconnected) = both(&counts.let_in, &counts.disconnected);
        assert_eq!(let_in, disconnected, "sockets let in and disconnected");
        if let Some(row) = self.ledger.row("Session") {
            // The actor's task ends right after the count.
            while self
                .ledger
                .row("Session")
                .is_some_and(|row| row.instances > 0)
            {
                assert!(Instant::now() < until, "actors left behind: {row:?}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let row = self.ledger.row("Session").unwrap_or(row);
            assert!(row.balances(), "{row:?}");
        }
        self.stop().await;
    }

    /// Sends everybody away first.
    pub async fn dismiss(self) {
        self.engine.close_all(Reason::ServerRestart).await;
        self.bare.close_all(Reason::ServerRestart).await;
        self.finish().await;
    }

    /// Stops as a server in production does.
    pub async fn stop_gracefully(mut self) -> Duration {
        self.engine.close_all(Reason::ServerRestart).await;
        self.engine.drained().await;
        let since = Instant::now();
        self.handle.stop(true).await;
        let took = since.elapsed();
        self.stop().await;
        took
    }

    /// Stops with everybody still there.
    pub async fn vanish(mut self) {
        self.stop().await;
    }

    async fn stop(&mut self) {
        self.handle.stop(false).await;
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server's thread");
        }
    }
}
