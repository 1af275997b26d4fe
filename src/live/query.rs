//! What a client without a library says in its query: every problem is noted, and told together at the end.

use callboard_actors::model::record::Seq;
use callboard_actors::model::room::{Channel, Namespace};

use super::admission::{MOST_ROOMS, channel};
use crate::error::{ApiError, FieldError};

/// There are no other parameters.
const KNOWN: [&str; 4] = ["token", "namespaces", "rooms", "since"];
/// Problems that are told; there may be as many as the query has room for.
const MOST_ERRORS: usize = 20;

#[derive(Debug, Default)]
pub(super) struct Query {
    pub token: Option<String>,
    namespaces: Option<String>,
    rooms: Option<String>,
    since: Option<String>,
    errors: Vec<FieldError>,
}

impl Query {
    /// A parameter that is misspelt, or given twice, must not pass silently.
    pub fn parse(text: &str) -> Query {
        let mut query = Query::default();
        for (key, value) in form_urlencoded::parse(text.as_bytes()) {
            let slot = match key.as_ref() {
                "token" => &mut query.token,
                "namespaces" => &mut query.namespaces,
                "rooms" => &mut query.rooms,
                "since" => &mut query.since,
                other => {
                    let message = format!("is not known here; accepted: {}", KNOWN.join(", "));
                    query.refuse(other, message);
                    continue;
                }
            };
            // The first holds: who asks can be known although the question is wrong.
            match slot {
                Some(_) => query.refuse(&key, "is given twice"),
                None => *slot = Some(value.into_owned()),
            }
        }
        query
    }

    fn refuse(&mut self, field: &str, message: impl Into<String>) {
        if self.errors.len() < MOST_ERRORS {
            self.errors.push(FieldError {
                field: field.chars().take(100).collect(),
                message: message.into(),
            });
        }
    }

    /// Those that there are.
    pub fn namespaces(&mut self) -> Vec<Namespace> {
        let mut found = Vec::new();
        let list = self.namespaces.take();
        for name in list.as_deref().unwrap_or("episodes").split(',') {
            match Namespace::parse(name.trim()) {
                Some(namespace) if !found.contains(&namespace) => found.push(namespace),
                Some(_) => {}
                None => {
                    let message = format!(
                        "`{}` is none; accepted: root, episodes, jobs, feed, admin",
                        short(name)
                    );
                    self.refuse("namespaces", message);
                }
            }
        }
        found
    }

    /// Those that can be joined from these namespaces.
    pub fn rooms(&mut self, namespaces: &[Namespace]) -> Vec<Channel> {
        let mut found = Vec::new();
        if namespaces.is_empty() {
            // None that is known was asked for: that is what is wrong, and not the rooms.
            return found;
        }
        let list = self.rooms.take().unwrap_or_default();
        let names = list.split(',').map(str::trim);
        for name in names.filter(|name| !name.is_empty()) {
            match channel(name, namespaces) {
                Ok(channel) if !found.contains(&channel) => found.push(channel),
                Ok(_) => {}
                Err(message) => self.refuse("rooms", message),
            }
        }
        if found.len() > MOST_ROOMS {
            self.refuse("rooms", format!("{MOST_ROOMS} at most"));
            found.truncate(MOST_ROOMS);
        }
        found
    }

    /// What a browser says by itself on its return counts before the address, which is still that of the first time.
    pub fn since(&mut self, last_event_id: Option<&str>) -> Option<Seq> {
        let since = self.since.take();
        let asked = self.place("since", since.as_deref());
        let last = self.place("Last-Event-ID", last_event_id.filter(|id| !id.is_empty()));
        last.or(asked)
    }

    fn place(&mut self, field: &str, text: Option<&str>) -> Option<Seq> {
        let text = text?;
        let place = text.parse().ok();
        if place.is_none() {
            self.refuse(field, format!("`{}` is no sequence number", short(text)));
        }
        place
    }

    pub fn finish(self) -> Result<(), ApiError> {
        match self.errors.is_empty() {
            true => Ok(()),
            false => Err(ApiError::invalid(self.errors)),
        }
    }
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(query: Query) -> Vec<String> {
        let error = query.finish().unwrap_err();
        let errors = error.problem().errors.iter();
        errors.map(|error| error.field.clone()).collect()
    }

    #[test]
    fn what_is_misspelt_or_given_twice_is_named_and_everything_at_once() {
        assert!(
            Query::parse("token=a&since=3&namespaces=episodes,jobs&rooms=")
                .finish()
                .is_ok()
        );
        assert_eq!(
            wrong(Query::parse("sinze=3&since=1&since=2")),
            ["sinze", "since"]
        );
        let token = Query::parse("token=a%2Bb").token;
        assert_eq!(token.as_deref(), Some("a+b"));
        let many: String = (0..1_000).map(|n| format!("x{n}=&")).collect();
        assert_eq!(wrong(Query::parse(&many)).len(), MOST_ERRORS);
    }

    #[test]
    fn the_default_namespace_is_episodes_and_each_is_taken_once() {
        assert_eq!(Query::default().namespaces(), [Namespace::Episodes]);
        assert_eq!(
            Query::parse("namespaces=jobs,/jobs, root").namespaces(),
            [Namespace::Jobs, Namespace::Root]
        );
        let mut query = Query::parse("namespaces=x,jobs&rooms=y&since=z");
        assert_eq!(query.namespaces(), [Namespace::Jobs]);
        assert!(query.rooms(&[Namespace::Jobs]).is_empty());
        assert_eq!(query.since(Some("w")), None);
        assert_eq!(
            wrong(query),
            ["namespaces", "rooms", "since", "Last-Event-ID"]
        );
        let mut query = Query::parse("namespaces=&rooms=user:x");
        let none = query.namespaces();
        assert!(none.is_empty() && query.rooms(&none).is_empty());
        assert_eq!(wrong(query), ["namespaces"]);
    }

    #[test]
    fn a_return_counts_before_the_address() {
        assert_eq!(Query::parse("since=3").since(Some("7")), Some(7));
        assert_eq!(Query::parse("since=3").since(Some("")), Some(3));
        assert_eq!(Query::default().since(None), None);
    }
}
