//! What must hold of every packet and every text.

use proptest::prelude::*;

use super::*;

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

fn reassembler() -> Reassembler {
    Reassembler::new(Limits::default())
}

/// What stands in a packet, for comparison: JSON values compare by their spelling.
fn shown(packet: &Packet) -> String {
    format!("{packet:?}")
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((".{0,6}", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn payload() -> impl Strategy<Value = Payload> {
    let args = prop::collection::vec(json(), 0..5);
    let attachments = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4);
    (args, attachments).prop_map(|(args, attachments)| {
        let mut args: Vec<_> = args.iter().map(|value| raw(&value.to_string())).collect();
        args.extend(
            (0..attachments.len())
                .map(|num| raw(&format!("{{\"_placeholder\":true,\"num\":{num}}}"))),
        );
        Payload {
            args,
            attachments: attachments.into_iter().map(Bytes::from).collect(),
        }
    })
}

fn packet() -> impl Strategy<Value = Packet> {
    let namespace = prop_oneof![Just("/".to_owned()), "/[a-zé?=\\[\\]{}\"0-9/-]{0,12}"];
    let id = 0..=9_007_199_254_740_991_u64;
    let object = || json().prop_map(|value| raw(&serde_json::json!({ "a": value }).to_string()));
    let name = ".{0,12}".prop_filter("reserved", |name| !RESERVED_EVENTS.contains(&name.as_str()));
    prop_oneof![
        (namespace.clone(), prop::option::of(object()))
            .prop_map(|(namespace, auth)| Packet::Connect { namespace, auth }),
        namespace
            .clone()
            .prop_map(|namespace| Packet::Disconnect { namespace }),
        (
            namespace.clone(),
            prop::option::of(id.clone()),
            name,
            payload()
        )
            .prop_map(|(namespace, id, name, payload)| Packet::Event {
                namespace,
                id,
                name,
                payload
            }),
        (namespace.clone(), id, payload()).prop_map(|(namespace, id, payload)| Packet::Ack {
            namespace,
            id,
            payload
        }),
        (namespace, object())
            .prop_map(|(namespace, data)| Packet::ConnectError { namespace, data }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(packet in packet()) {
        let mut reassembler = reassembler();
        let mut read = None;
        for frame in packet.encode() {
            prop_assert!(read.is_none());
            read = if frame.is_binary() {
                reassembler.binary(frame.payload()).unwrap()
            } else {
                let payload = frame.payload();
                let text = std::str::from_utf8(&payload).unwrap();
                prop_assert!(text.starts_with('4'));
                reassembler.text(&text[1..]).unwrap()
            };
        }
        prop_assert_eq!(read.as_ref().map(shown), Some(shown(&packet)));
    }

    #[test]
    fn no_text_panics(text in "[0-6][0-9-]{0,3}(/[a-z]{0,3},?)?[0-9]{0,3}.{0,12}") {
        let _ = reassembler().text(&text);
    }
}
