//! Reading the history: pages of it, newest first, as far as the reader may see it.
//!
//! Whatever the filters, a page is the end of a range of one index, or of two: what is public (of an admin: everything)
//! by the most telling filter, and what is the reader's own. So it costs as much where a table is large, and where the
//! reader sees little of it.
//!
//! What happened to one thing is looked for in the index of words, where each row has a key of it. An index of its own
//! has a page for each thing, and in the end as many are written as rows: SQLite's only writer paid a third of the
//! history's cost for it. PostgreSQL has one.

use callboard_actors::model::activity::Activity;
use callboard_actors::model::identity::{Role, UserRef};
use callboard_actors::model::page::Page;
use callboard_actors::model::policy::{self, SeenBy};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::matches::Matches;
use super::seen_by_id;
use crate::store::convert::{column, micros, moment, no_nul, raw, seq};
use crate::store::page::{Key, Scope};
use crate::store::words::Query;
use crate::store::{Conn, Result, Store};

/// Who reads the history: what they may see depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    pub id: Uuid,
    pub role: Role,
}

impl Reader {
    /// The program itself, or an operator at the command line.
    pub const PROGRAM: Reader = Reader {
        id: Uuid::nil(),
        role: Role::Admin,
    };

    pub(super) fn sees_all(self) -> bool {
        self.role == Role::Admin
    }
}

/// Which rows a list shows. Nothing set: all that the reader may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub action: Option<String>,
    pub resource_type: Option<String>,
    pub resource_id: Option<String>,
    pub user_id: Option<Uuid>,
    pub from: Option<DateTime<Utc>>,
    pub to: Option<DateTime<Utc>>,
}

impl Filter {
    pub(super) fn check(&self) -> Result<()> {
        no_nul([
            ("action", self.action.as_deref()),
            ("resource_type", self.resource_type.as_deref()),
            ("resource_id", self.resource_id.as_deref()),
        ])
    }

    /// Whether rows that everybody may see can be among them.
    fn may_be_public(&self) -> bool {
        let (action, kind) = (self.action.as_deref(), self.resource_type.as_deref());
        policy::activity_may_be_public(action, kind)
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: Uuid,
    seq: i64,
    action: String,
    user_id: Option<Uuid>,
    user_name: Option<String>,
    resource_type: Option<String>,
    resource_id: Option<String>,
    resource_name: Option<String>,
    changes: Option<String>,
    metadata: Option<String>,
    ip: Option<String>,
    created_at: i64,
}

impl Row {
    /// Without what this reader may not know.
    pub(super) fn shown_to(self, reader: Reader) -> Result<Activity> {
        let address = policy::may_see_address(reader.role, reader.id, self.user_id);
        Ok(Activity {
            id: self.id,
            seq: seq(self.seq),
            action: self.action,
            user: self
                .user_id
                .zip(self.user_name)
                .map(|(id, name)| UserRef { id, name }),
            resource_type: self.resource_type,
            resource_id: self.resource_id,
            resource_name: self.resource_name,
            changes: self.changes.map(raw).transpose()?,
            metadata: self.metadata.map(raw).transpose()?,
            ip: self.ip.filter(|_| address),
            created_at: moment(self.created_at)?,
        })
    }
}

/// A part of the table by `seq`, both ends excluded.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub above: i64,
    pub below: i64,
}

impl Span {
    pub const ALL: Span = Span {
        above: i64::MIN,
        below: i64::MAX,
    };
}

/// Times go up with `seq`, but for what was committed at the same time, and where the clocks of two nodes differ.
const SLACK: i64 = 60_000_000;

/// Where rows of these times are, generously; the rows' own times decide. `None`: nowhere.
pub(super) async fn span(conn: &mut Conn, filter: &Filter, before: i64) -> Result<Option<Span>> {
    let mut span = Span {
        below: before,
        ..Span::ALL
    };
    if let Some(from) = filter.from {
        let (first,) = sql!(
            conn,
            "SELECT MIN(seq) FROM (SELECT seq FROM activity WHERE created_at >= $1 ORDER BY created_at, seq LIMIT 100)
                                  AS early",
            micros(from).saturating_sub(SLACK) => one (Option<i64>,)
        )?;
        match first {
            Some(first) => span.above = first - 1,
            None => return Ok(None),
        }
    }
    if let Some(to) = filter.to {
        let (last,) = sql!(
            conn,
            "SELECT MAX(seq) FROM (SELECT seq FROM activity WHERE created_at <= $1
                                   ORDER BY created_at DESC, seq DESC LIMIT 100) AS late",
            micros(to).saturating_add(SLACK) => one (Option<i64>,)
        )?;
        match last {
            Some(last) => span.below = before.min(last + 1),
            None => return Ok(None),
        }
    }
    Ok(Some(span))
}

/// A page's text: what drives it, for what is public and for what is one's own. What must not drive it is written so
/// that no index serves it.
macro_rules! page {
    ($driving:literal) => {
        concat!(
            "SELECT * FROM (SELECT ",
            columns!(),
            " FROM activity a
                            WHERE ",
            $driving,
            " AND ($10 OR a.seen_by = $11) AND ",
            filtered!(),
            "
                            ORDER BY a.seq DESC LIMIT +$13) AS public
             UNION ALL
             SELECT * FROM (SELECT ",
            columns!(),
            " FROM activity a
                            WHERE a.seen_by = $12 AND ",
            filtered!(),
            "
                            ORDER BY a.seq DESC LIMIT +$1) AS own
             ORDER BY seq DESC LIMIT +$1"
        )
    };
}

/// Everything that the reader may see, newest first.
pub async fn feed(
    store: &Store,
    filter: &Filter,
    limit: u32,
    cursor: Option<&str>,
    reader: Reader,
) -> Result<Page<Activity>> {
    filter.check()?;
    let scope = Scope::new("activity", &(reader.id, filter));
    let Key(before, _) = scope.start(cursor)?;
    let mut conn = store.read().await?;
    let Some(span) = span(&mut conn, filter, before).await? else {
        return Ok(scope.page(Vec::new(), limit, |_| Key::START));
    };
    if filter.resource_id.is_some() && (store.kind() == "sqlite" || filter.resource_type.is_none())
    {
        let matches = Matches::of(&Query::EVERYTHING, filter, span, reader, store.kind());
        let found = matches.newest(&mut conn, i64::MIN, i64::MAX, limit as usize + 1);
        return Ok(paged(&scope, found.await?, limit));
    }
    let all = reader.sees_all();
    let text = match filter {
        Filter {
            resource_type: Some(_),
            resource_id: Some(_),
            ..
        } => page!("a.resource_type = $5 AND a.resource_id = $6"),
        Filter {
            user_id: Some(_), ..
        } => page!("a.user_id = $7"),
        Filter {
            action: Some(_), ..
        } => page!("a.action = $4"),
        Filter {
            resource_type: Some(_),
            ..
        } => page!("a.resource_type = $5"),
        _ if all => page!("a.seq < $2"),
        _ => page!("a.seen_by = $11"),
    };
    let most = i64::from(limit) + 1;
    let public = all || filter.may_be_public();
    let rows = sql!(
        &mut conn, text, most, span.below, span.above, &filter.action, &filter.resource_type, &filter.resource_id,
        filter.user_id, filter.from.map(micros), filter.to.map(micros), all, seen_by_id(SeenBy::Everybody),
        (!all).then_some(reader.id), if public { most } else { 0 } => all Row
    )?;
    page(&scope, rows, limit, reader)
}

fn page(scope: &Scope, rows: Vec<Row>, limit: u32, reader: Reader) -> Result<Page<Activity>> {
    let rows = rows.into_iter().map(|row| row.shown_to(reader));
    Ok(paged(scope, rows.collect::<Result<_>>()?, limit))
}

fn paged(scope: &Scope, rows: Vec<Activity>, limit: u32) -> Page<Activity> {
    scope.page(rows, limit, |row| Key(column(row.seq), Uuid::nil()))
}

/// A team of more members than this is looked for along the table, where it is met often.
const SMALL: i64 = 100;

/// What the members of a team did, as it is now; without one, what any user did. For admins.
pub async fn of_team(
    store: &Store,
    team: Option<&str>,
    filter: &Filter,
    limit: u32,
    cursor: Option<&str>,
    reader: Reader,
) -> Result<Page<Activity>> {
    filter.check()?;
    no_nul([("team", team)])?;
    let scope = Scope::new("activity of a team", &(reader.id, team, filter));
    let Key(before, _) = scope.start(cursor)?;
    let mut conn = store.read().await?;
    let Some(span) = span(&mut conn, filter, before).await? else {
        return Ok(scope.page(Vec::new(), limit, |_| Key::START));
    };
    let small = match team {
        None => false,
        Some(team) => {
            let (members,) = sql!(
                &mut conn,
                "SELECT COUNT(*) FROM (SELECT 1 FROM users WHERE team = $1 LIMIT +$2) AS members",
                team, SMALL + 1 => one (i64,)
            )?;
            members <= SMALL
        }
    };
    let text = match small {
        // The newest of each member, and of these the newest.
        true => by_database!(
            conn,
            sqlite: concat!(
                "SELECT ", columns!(), " FROM users u CROSS JOIN activity a
                   ON a.seq IN (SELECT a.seq FROM activity a WHERE a.user_id = u.id AND ", filtered!(), "
                                ORDER BY a.seq DESC LIMIT +$1)
                 WHERE u.team = $10 ORDER BY a.seq DESC LIMIT +$1"
            ),
            postgres: concat!(
                "SELECT ", columns!(), " FROM users u CROSS JOIN LATERAL
                   (SELECT * FROM activity a WHERE a.user_id = u.id AND ", filtered!(), "
                    ORDER BY a.seq DESC LIMIT +$1) AS a
                 WHERE u.team = $10 ORDER BY a.seq DESC LIMIT +$1"
            ),
        ),
        false => concat!(
            "SELECT ",
            columns!(),
            " FROM activity a
             WHERE ",
            filtered!(),
            " AND a.user_id IS NOT NULL
               AND ($10 IS NULL OR a.user_id IN (SELECT id FROM users WHERE team = $10))
             ORDER BY a.seq DESC LIMIT +$1"
        ),
    };
    let rows = sql!(
        &mut conn, text, i64::from(limit) + 1, span.below, span.above, &filter.action, &filter.resource_type,
        &filter.resource_id, filter.user_id, filter.from.map(micros), filter.to.map(micros), team => all Row
    )?;
    page(&scope, rows, limit, Reader::PROGRAM)
}

#[cfg(test)]
mod tests;
