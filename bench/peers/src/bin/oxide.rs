//! socketioxide behind axum: a token checked at CONNECT, rooms joined on request, `POST /publish/{room}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use callboard_peers::Door;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};
use socketioxide::handler::ConnectHandler;

const NAMESPACE: &str = "/episodes";

#[derive(Deserialize)]
struct Credentials {
    token: String,
}

#[derive(Deserialize)]
struct Join {
    room: String,
}

#[derive(Serialize)]
struct Joined {
    ok: bool,
    room: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (layer, io) = SocketIo::new_layer();
    let door = Arc::new(Door::new());
    // The connect handler runs while CONNECT is being answered: a client that asks at once might not be heard.
    let check = move |socket: SocketRef, Data(shown): Data<Credentials>| {
        socket.on("join", join);
        let bearer = door.bearer(&shown.token);
        async move { bearer.map(|_| ()).ok_or("token_invalid") }
    };
    io.ns(NAMESPACE, (async || {}).with(check));
    let application = axum::Router::new()
        .route("/health", get(async || "ok"))
        .route("/publish/{room}", post(publish))
        .with_state(io)
        .layer(layer);
    let listener = callboard_peers::listen()?.tap_io(|stream| {
        // Where it cannot be set, it is as it was.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, application).await?;
    Ok(())
}

async fn join(socket: SocketRef, Data(wish): Data<Join>, answer: AckSender) {
    socket.join(wish.room.clone());
    // A socket that has gone needs no answer.
    let _ = answer.send(&Joined {
        ok: true,
        room: wish.room,
    });
}

async fn publish(
    State(io): State<SocketIo>,
    Path(room): Path<String>,
    Json(data): Json<Value>,
) -> StatusCode {
    let Some(namespace) = io.of(NAMESPACE) else {
        return StatusCode::INTERNAL_SERVER_ERROR;
    };
    // An error is that of a socket whose buffer is full: it gets one event less.
    let _ = namespace.to(room).emit("custom", &data).await;
    StatusCode::OK
}
