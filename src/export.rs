//! The history as a file: NDJSON, or CSV as RFC 4180 has it.

use std::fmt;
use std::str::FromStr;

use callboard_actors::model::activity::Activity;
use chrono::SecondsFormat;

/// How an export is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A row of the API on each line.
    Ndjson,
    Csv,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Format, String> {
        match text {
            "ndjson" => Ok(Format::Ndjson),
            "csv" => Ok(Format::Csv),
            _ => Err(format!("`{text}` is no format; accepted: ndjson, csv")),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Ndjson => "ndjson",
            Format::Csv => "csv",
        })
    }
}

/// The header line's names; a row's fields are in this order.
const COLUMNS: [&str; 12] = [
    "seq",
    "id",
    "created_at",
    "action",
    "user_id",
    "user_name",
    "resource_type",
    "resource_id",
    "resource_name",
    "changes",
    "metadata",
    "ip",
];

impl Format {
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Ndjson => "application/x-ndjson",
            Format::Csv => "text/csv; charset=utf-8",
        }
    }

    /// What stands before the first row of the whole.
    pub fn header(self) -> String {
        match self {
            Format::Ndjson => String::new(),
            Format::Csv => COLUMNS.join(",") + "\r\n",
        }
    }

    /// Adds the row's line.
    pub fn write(self, row: &Activity, into: &mut String) -> Result<(), serde_json::Error> {
        match self {
            Format::Ndjson => {
                // JSON that was given to us may be spread over lines. Within its texts there are none: what is left is
                // the space between.
                let line = serde_json::to_string(row)?;
                into.extend(
                    line.chars()
                        .map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }),
                );
                into.push('\n');
            }
            Format::Csv => csv(row, into),
        }
        Ok(())
    }
}

fn csv(row: &Activity, into: &mut String) {
    let user = row.user.as_ref();
    let seq = row.seq.to_string();
    let id = row.id.to_string();
    let at = row.created_at.to_rfc3339_opts(SecondsFormat::Micros, true);
    let user_id = user.map(|user| user.id.to_string());
    let fields: [Option<&str>; COLUMNS.len()] = [
        Some(&seq),
        Some(&id),
        Some(&at),
        Some(&row.action),
        user_id.as_deref(),
        user.map(|user| user.name.as_str()),
        row.resource_type.as_deref(),
        row.resource_id.as_deref(),
        row.resource_name.as_deref(),
        row.changes.as_ref().map(|changes| changes.get()),
        row.metadata.as_ref().map(|metadata| metadata.get()),
        row.ip.as_deref(),
    ];
    for (place, text) in fields.into_iter().enumerate() {
        if place > 0 {
            into.push(',');
        }
        field(text.unwrap_or_default(), into);
    }
    into.push_str("\r\n");
}

/// A text that a spreadsheet would take for a formula gets an apostrophe in front, which it takes for "this is text".
fn field(text: &str, into: &mut String) {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    let quoted = text.contains(['"', ',', '\r', '\n']);
    if quoted {
        into.push('"');
    }
    if formula {
        into.push('\'');
    }
    for c in text.chars() {
        if c == '"' {
            into.push('"');
        }
        into.push(c);
    }
    if quoted {
        into.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callboard_actors::model::identity::UserRef;
    use chrono::DateTime;
    use serde_json::value::RawValue;
    use uuid::Uuid;

    fn row() -> Activity {
        Activity {
            id: Uuid::nil(),
            seq: 7,
            action: "custom".into(),
            user: Some(UserRef {
                id: Uuid::max(),
                name: "=HYPERLINK(\"http://x\",\"y\")".into(),
            }),
            resource_type: Some("episode".into()),
            resource_id: Some("1".into()),
            resource_name: Some("a, \"b\"\nc".into()),
            changes: Some(RawValue::from_string("{\n \"a\": \"\\n\"\n}".into()).unwrap()),
            metadata: None,
            ip: None,
            created_at: DateTime::from_timestamp(1_800_000_000, 123_456_000).unwrap(),
        }
    }

    #[test]
    fn a_line_of_ndjson_is_one_line_and_means_the_same() {
        let mut text = String::new();
        Format::Ndjson.write(&row(), &mut text).unwrap();
        assert_eq!(text.matches('\n').count(), 1);
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read, serde_json::to_value(row()).unwrap());
    }

    #[test]
    fn a_line_of_csv_is_quoted_and_no_formula() {
        let mut text = Format::Csv.header();
        Format::Csv.write(&row(), &mut text).unwrap();
        assert_eq!(
            text,
            "seq,id,created_at,action,user_id,user_name,resource_type,resource_id,resource_name,changes,metadata,ip\r\n\
             7,00000000-0000-0000-0000-000000000000,2027-01-15T08:00:00.123456Z,custom,\
             ffffffff-ffff-ffff-ffff-ffffffffffff,\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\",episode,1,\
             \"a, \"\"b\"\"\nc\",\"{\n \"\"a\"\": \"\"\\n\"\"\n}\",,\r\n"
        );
        for text in ["=1", "+1", "-1", "@x", "\t=1"] {
            let mut into = String::new();
            field(text, &mut into);
            assert!(into.starts_with('\''), "{text}");
        }
    }

    #[test]
    fn a_format_is_one_of_two() {
        assert_eq!("csv".parse(), Ok(Format::Csv));
        assert_eq!("ndjson".parse(), Ok(Format::Ndjson));
        assert!("CSV ".parse::<Format>().is_err());
    }
}
