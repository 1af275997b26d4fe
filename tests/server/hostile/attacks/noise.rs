//! Hostile clients that keep to no protocol.

use super::{Field, upgrade};
use crate::hostile::dice::Dice;
use crate::hostile::wire::Wire;

/// What is no request at all, or comes too slowly, or ends in the middle.
pub async fn noise(field: &Field, dice: &mut Dice) {
    let Some(mut wire) = Wire::open(field.port).await else {
        return;
    };
    let path = dice.pick(&[
        "/ws?token=x",
        "/socket.io/?EIO=4&transport=websocket",
        "/socket.io/?EIO=3&transport=x&sid=%",
        "/x",
    ]);
    let whole = upgrade(path);
    field.count(1);
    match dice.roll(8) {
        0 => {
            wire.trickle(whole.as_bytes()).await;
        }
        1 => {
            wire.write(&whole.as_bytes()[..dice.roll(whole.len())])
                .await;
        }
        2 => {
            wire.write(&dice.bytes(5_000)).await;
        }
        3 => {
            let bent = whole.replace("13\r", "12\r");
            field.ask(&mut wire, bent.as_bytes()).await;
        }
        4 => {
            let bent = whole.replace(
                "GET",
                dice.pick(&["POST", "CONNECT", "PUT", "HEAD", "BREW"]),
            );
            field.ask(&mut wire, bent.as_bytes()).await;
        }
        5 => {
            let bent = whole.replace(
                "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
                "sec-websocket-key: \u{ff}\r\n",
            );
            field.ask(&mut wire, bent.as_bytes()).await;
        }
        6 => {
            // A head without end.
            let line = format!("x-{}: {}\r\n", dice.roll(99), "y".repeat(1_000));
            let mut head = whole.trim_end().to_owned() + "\r\n";
            head += &line.repeat(400);
            if wire.write(head.as_bytes()).await {
                field.judge(b"a head without end", wire.response().await);
            }
        }
        _ => {
            // Three requests in one go, the last not whole.
            let one = "GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
            let said = format!("{one}{one}{}", &one[..20]);
            field.ask(&mut wire, said.as_bytes()).await;
        }
    }
    if dice.one_in(3) {
        wire.reset();
    }
}
