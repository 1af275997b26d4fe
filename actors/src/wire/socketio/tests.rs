//! Tables of packets: what is read, what is refused and why, what is written.

use super::*;
use crate::wire::frame::Frame;

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

fn reassembler() -> Reassembler {
    Reassembler::new(Limits::default())
}

/// A packet that is whole with its text.
fn decode(text: &str) -> Result<Packet, Error> {
    let packet = reassembler().text(text)?;
    Ok(packet.expect("no attachments are due"))
}

fn refused(text: &str) -> Error {
    match reassembler().text(text) {
        Err(error) => error,
        Ok(packet) => panic!("{text:?} was taken: {packet:?}"),
    }
}

/// What stands in a packet, for comparison: JSON values compare by their spelling.
fn shown(packet: &Packet) -> String {
    format!("{packet:?}")
}

fn event_of(namespace: &str, id: Option<u64>, name: &str, args: &[&str]) -> Packet {
    Packet::Event {
        namespace: namespace.into(),
        id,
        name: name.into(),
        payload: Payload {
            args: args.iter().map(|json| raw(json)).collect(),
            attachments: Vec::new(),
        },
    }
}

fn texts(frames: &[Frame]) -> Vec<String> {
    frames
        .iter()
        .map(|frame| String::from_utf8_lossy(frame.payload_bytes()).into_owned())
        .collect()
}

#[test]
fn a_connect_may_name_a_namespace_and_carry_an_object() {
    let table = [
        ("0", "/", None),
        ("0{}", "/", Some("{}")),
        ("0{\"token\": \"a\"} ", "/", Some("{\"token\": \"a\"}")),
        ("0/custom", "/custom", None),
        ("0/custom,", "/custom", None),
        ("0/custom,{\"pid\":1.0}", "/custom", Some("{\"pid\":1.0}")),
        ("0/,", "/", None),
    ];
    for (text, expected, json) in table {
        let Ok(Packet::Connect { namespace, auth }) = decode(text) else {
            panic!("{text} is a connect");
        };
        assert_eq!(namespace, expected, "{text}");
        assert_eq!(auth.as_deref().map(RawValue::get), json, "{text}");
    }
}

#[test]
fn a_disconnect_carries_nothing() {
    for (text, expected) in [
        ("1", "/"),
        ("1/custom", "/custom"),
        ("1/custom,", "/custom"),
    ] {
        let Ok(Packet::Disconnect { namespace }) = decode(text) else {
            panic!("{text} is a disconnect");
        };
        assert_eq!(namespace, expected, "{text}");
    }
    assert_eq!(refused("1{}"), Error::BadPayload('1'));
}

#[test]
fn an_event_keeps_the_spelling_of_its_arguments() {
    let table = [
        ("2[\"a\"]", event_of("/", None, "a", &[])),
        ("2[\"\"]", event_of("/", None, "", &[])),
        (
            "2[\"a\", 1.0 ,{\"z\":1,\"a\":1e2}]",
            event_of("/", None, "a", &["1.0", "{\"z\":1,\"a\":1e2}"]),
        ),
        (
            "212[\"a\\u0062\",\"\\u0062\"]",
            event_of("/", Some(12), "ab", &["\"\\u0062\""]),
        ),
        ("20[\"a\"]", event_of("/", Some(0), "a", &[])),
        (
            "2/n,12[\"a\",null]",
            event_of("/n", Some(12), "a", &["null"]),
        ),
        (
            "29007199254740991[\"a\"]",
            event_of("/", Some(9_007_199_254_740_991), "a", &[]),
        ),
        (
            "2[\"a\",{\"_placeholder\":true,\"num\":9}]",
            event_of("/", None, "a", &["{\"_placeholder\":true,\"num\":9}"]),
        ),
    ];
    for (text, packet) in table {
        assert_eq!(shown(&decode(text).unwrap()), shown(&packet), "{text}");
    }
}

#[test]
fn an_ack_has_an_id_and_any_number_of_arguments() {
    for (text, count) in [("31[]", 0), ("31[1]", 1), ("3/n,1[1,\"a\",null]", 3)] {
        let Ok(Packet::Ack { id: 1, payload, .. }) = decode(text) else {
            panic!("{text} is an ack of 1");
        };
        assert_eq!(payload.args.len(), count, "{text}");
    }
    assert_eq!(refused("3[]"), Error::MissingAckId);
}

#[test]
fn a_connect_error_carries_an_object_or_a_string() {
    for (text, json) in [
        ("4{\"message\":\"no\"}", "{\"message\":\"no\"}"),
        ("4/n,\"no\"", "\"no\""),
    ] {
        let Ok(Packet::ConnectError { data, .. }) = decode(text) else {
            panic!("{text} is a connect error");
        };
        assert_eq!(data.get(), json);
    }
    assert_eq!(refused("4"), Error::MissingPayload);
    assert_eq!(refused("4[]"), Error::BadPayload('4'));
}

#[test]
fn what_is_no_packet_is_refused_for_its_own_reason() {
    let table = [
        ("", Error::Empty),
        (" ", Error::UnknownType(' ')),
        ("7", Error::UnknownType('7')),
        ("abc", Error::UnknownType('a')),
        ("é", Error::UnknownType('é')),
        ("0[]", Error::BadPayload('0')),
        ("0null", Error::BadPayload('0')),
        ("0{}x", Error::BadPayload('0')),
        ("2", Error::MissingPayload),
        ("2{}", Error::BadPayload('2')),
        ("2[\"a\"", Error::BadPayload('2')),
        ("2[\"a\"]]", Error::BadPayload('2')),
        ("2abc[\"a\"]", Error::BadPayload('2')),
        ("2[]", Error::MissingEventName),
        ("2[1]", Error::MissingEventName),
        ("2[null]", Error::MissingEventName),
        ("2[\"\\ud800\"]", Error::MissingEventName),
        ("2 [\"a\"]", Error::MisplacedWhiteSpace),
        ("21 [\"a\"]", Error::MisplacedWhiteSpace),
        ("2/n[\"a\"]", Error::MissingPayload),
        ("2/a\u{1e}b,[\"a\"]", Error::BadNamespace),
        ("29007199254740992[\"a\"]", Error::AckIdTooLarge),
        (
            "200000000000000001[\"a\"]",
            Error::AckIdTooLong { limit: 16 },
        ),
        ("5[\"a\"]", Error::BadAttachments),
        ("5-[\"a\"]", Error::BadAttachments),
        ("50-[\"a\"]", Error::BadAttachments),
        ("51[\"a\"]", Error::BadAttachments),
        ("51e0-[\"a\"]", Error::BadAttachments),
        ("511-[\"a\"]", Error::TooManyAttachments { limit: 10 }),
        (
            "599999999999999999999999-[\"a\"]",
            Error::TooManyAttachments { limit: 10 },
        ),
        (
            "51-[\"a\",{\"_placeholder\":true,\"num\":1}]",
            Error::BadPlaceholder,
        ),
        ("61-[]", Error::MissingAckId),
    ];
    for (text, error) in table {
        assert_eq!(refused(text), error, "{text:?}");
    }
}

#[test]
fn a_reserved_name_is_refused_however_it_is_spelt() {
    for name in RESERVED_EVENTS {
        assert_eq!(
            refused(&format!("2[\"{name}\"]")),
            Error::ReservedEventName(name.into())
        );
        let attached = format!("51-[\"{name}\",{{\"_placeholder\":true,\"num\":0}}]");
        assert_eq!(refused(&attached), Error::ReservedEventName(name.into()));
    }
    assert_eq!(
        refused("2[\"conn\\u0065ct\"]"),
        Error::ReservedEventName("connect".into())
    );
    assert!(decode("2[\"Connect\"]").is_ok());
    assert!(decode("31[\"connect\"]").is_ok());
}

#[test]
fn a_binary_packet_is_whole_with_its_last_attachment() {
    let mut reassembler = reassembler();
    let text = "52-/n,7[\"a\",{\"_placeholder\":true,\"num\":1},{\"_placeholder\":true,\"num\":0}]";
    assert!(reassembler.text(text).unwrap().is_none());
    assert!(reassembler.is_waiting());
    assert!(
        reassembler
            .binary(Bytes::from_static(b"one"))
            .unwrap()
            .is_none()
    );
    let packet = reassembler.binary(Bytes::from_static(b"")).unwrap();
    assert!(!reassembler.is_waiting());
    let Some(Packet::Event {
        namespace,
        id: Some(7),
        name,
        payload,
    }) = packet
    else {
        panic!("an event that wants an ack: {packet:?}");
    };
    assert_eq!((namespace.as_str(), name.as_str()), ("/n", "a"));
    assert_eq!(payload.args[0].get(), "{\"_placeholder\":true,\"num\":1}");
    assert_eq!(payload.attachments, ["one", ""]);
    assert!(reassembler.text("2[\"next\"]").unwrap().is_some());
}

#[test]
fn text_and_binary_messages_come_in_turn_or_not_at_all() {
    let mut reassembler = reassembler();
    assert_eq!(
        reassembler.binary(Bytes::new()).unwrap_err(),
        Error::UnexpectedAttachment
    );
    assert!(
        reassembler
            .text("61-1[{\"_placeholder\":true,\"num\":0}]")
            .unwrap()
            .is_none()
    );
    assert_eq!(
        reassembler.text("2[\"a\"]").unwrap_err(),
        Error::AttachmentExpected
    );
    assert!(!reassembler.is_waiting(), "what was begun is given up");
    assert_eq!(
        reassembler.binary(Bytes::new()).unwrap_err(),
        Error::UnexpectedAttachment
    );
}

#[test]
fn a_limit_holds_from_the_first_that_is_too_many() {
    let limits = Limits {
        attachments: 2,
        bytes: 30,
        namespace: 4,
        ack_id_digits: 3,
        args: 2,
    };
    let taken = [
        "2/abc,[\"a\"]",
        "2999[\"a\",1,2]",
        "31[1,2]",
        "2[\"aaaaaaaaaaaaaaaaaaaaaaaaa\"]",
    ];
    for text in taken {
        assert!(
            Reassembler::new(limits).text(text).unwrap().is_some(),
            "{text}"
        );
    }
    let refused = [
        ("2/abcd,[\"a\"]", Error::NamespaceTooLong { limit: 4 }),
        ("0/abcd", Error::NamespaceTooLong { limit: 4 }),
        ("21000[\"a\"]", Error::AckIdTooLong { limit: 3 }),
        ("2[\"a\",1,2,3]", Error::TooManyArgs { limit: 3 }),
        ("31[1,2,3]", Error::TooManyArgs { limit: 2 }),
        ("53-[\"a\"]", Error::TooManyAttachments { limit: 2 }),
        (
            "2[\"aaaaaaaaaaaaaaaaaaaaaaaaaa\"]",
            Error::TooManyBytes { limit: 30 },
        ),
    ];
    for (text, error) in refused {
        assert_eq!(
            Reassembler::new(limits).text(text).unwrap_err(),
            error,
            "{text}"
        );
    }
}

#[test]
fn the_bytes_of_a_packet_are_counted_over_all_its_messages() {
    let limits = Limits {
        bytes: 30,
        ..Limits::default()
    };
    for (first, second, fits) in [(10, 12, true), (10, 13, false), (23, 0, false)] {
        let mut reassembler = Reassembler::new(limits);
        assert!(reassembler.text("52-[\"a\"]").unwrap().is_none());
        let read = reassembler
            .binary(vec![0; first].into())
            .and_then(|_| reassembler.binary(vec![0; second].into()));
        assert_eq!(read.is_ok(), fits, "{first} and {second}");
    }
}

#[test]
fn a_placeholder_points_to_an_attachment_that_is_there() {
    let table = [
        ("{\"_placeholder\":true,\"num\":1}", true),
        ("{\"_placeholder\":true,\"num\":2}", false),
        ("{\"_placeholder\":true,\"num\":-1}", false),
        ("{\"_placeholder\":true,\"num\":0.5}", false),
        ("{\"_placeholder\":true,\"num\":\"0\"}", false),
        ("{\"_placeholder\":true,\"num\":[0]}", false),
        ("{\"_placeholder\":true}", false),
        ("{\"num\":2,\"_placeholder\":true}", false),
        ("{ \"num\" : 1 , \"_placeholder\" : true }", true),
        ("{\"_placeholder\":false,\"num\":2}", true),
        ("{\"_placeholder\":1,\"num\":2}", true),
        ("{\"_placeholder\":\"true\",\"num\":2}", true),
        ("{\"_placeholder\":{\"_placeholder\":true,\"num\":0}}", true),
        (
            "{\"_placeholder\":{\"_placeholder\":true,\"num\":2}}",
            false,
        ),
        ("[[{\"a\":[{\"_placeholder\":true,\"num\":2}]}]]", false),
        ("[[{\"a\":[{\"_placeholder\":true,\"num\":1}]}],{}]", true),
        (
            "{\"_placeholder\":true,\"num\":0,\"x\":{\"_placeholder\":true,\"num\":2}}",
            true,
        ),
        ("{\"_placeholder\":true,\"num\":2,\"num\":0}", true),
        ("{\"_placeholder\":true,\"num\":0,\"num\":2}", false),
        ("{\"_placeholder\":true,\"num\":0,\"num\":{}}", false),
        ("{\"\\u005fplaceholder\":true,\"num\":2}", false),
        ("{\"\\u005fplaceholder\":true,\"n\\u0075m\":1}", true),
        ("\"{\\\"_placeholder\\\":true,\\\"num\\\":2}\"", true),
        ("{\"a\":\"_placeholder\",\"num\":2,\"b\":true}", true),
        ("[\"_placeholder\",true,\"num\",2]", true),
        ("{\"x\":\"\\\"\",\"_placeholder\":true,\"num\":2}", false),
        ("{\"x\":\"\\\\\",\"_placeholder\":true,\"num\":2}", false),
        ("{\"x\":\"\\\",\\\"_placeholder\\\":true\",\"num\":2}", true),
        ("{\"_placeholder\":true,\"num\":01}", false),
    ];
    for (json, valid) in table {
        let read = reassembler().text(&format!("52-[\"a\",{json}]"));
        assert_eq!(read.is_ok(), valid, "{json}");
    }
}

#[test]
fn depth_costs_no_stack() {
    let depth = 200_000;
    let nested = format!(
        "51-[\"a\",{}{{\"_placeholder\":true,\"num\":0}}{}]",
        "[".repeat(depth),
        "]".repeat(depth)
    );
    assert!(reassembler().text(&nested).unwrap().is_none());
}

#[test]
fn the_answers_to_a_connect_are_spelt_as_the_protocol_has_them() {
    let data = raw("{\"code\":\"unauthorized\"}");
    let table = [
        (connect("/", "abc", None), "40{\"sid\":\"abc\"}"),
        (
            connect("/ns", "a\"c", Some("p")),
            "40/ns,{\"sid\":\"a\\\"c\",\"pid\":\"p\"}",
        ),
        (
            connect_error("/random", "Invalid namespace", None),
            "44/random,{\"message\":\"Invalid namespace\"}",
        ),
        (
            connect_error("/", "no\n", Some(&data)),
            "44{\"message\":\"no\\n\",\"data\":{\"code\":\"unauthorized\"}}",
        ),
        (disconnect("/"), "41"),
        (disconnect("/ns"), "41/ns,"),
    ];
    for (frame, text) in table {
        assert_eq!(frame, Frame::text(text));
    }
}

#[test]
fn events_and_acks_are_spelt_as_the_protocol_has_them() {
    let none: [Box<RawValue>; 0] = [];
    let args = [raw("1.0"), raw("{\"z\":0,\"a\":1}")];
    let placeholder = [raw("{\"_placeholder\":true,\"num\":0}")];
    let attachment = [Bytes::from_static(&[1, 2])];
    assert_eq!(texts(&event("/", None, "a", &none, &[])), ["42[\"a\"]"]);
    assert_eq!(
        texts(&event("/ns", Some(7), "a\"b\u{1e}", &args, &[])),
        ["42/ns,7[\"a\\\"b\\u001e\",1.0,{\"z\":0,\"a\":1}]"]
    );
    assert_eq!(
        event_text("/", Some(7), "a", &args),
        event("/", Some(7), "a", &args, &[])[0]
    );
    assert_eq!(texts(&ack("/", 0, &none, &[])), ["430[]"]);
    assert_eq!(
        texts(&ack("/ns", 12, &args, &[])),
        ["43/ns,12[1.0,{\"z\":0,\"a\":1}]"]
    );

    let frames = event("/", Some(3), "a", &placeholder, &attachment);
    assert_eq!(
        frames[0],
        Frame::text("451-3[\"a\",{\"_placeholder\":true,\"num\":0}]")
    );
    assert_eq!(frames[1], Frame::binary([1, 2]));
    let frames = ack("/ns", 3, &placeholder, &attachment);
    assert_eq!(
        frames[0],
        Frame::text("461-/ns,3[{\"_placeholder\":true,\"num\":0}]")
    );
    assert_eq!(frames.len(), 2);
}
