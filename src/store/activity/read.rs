//! Reading the history.

use callboard_actors::model::activity::Activity;
use callboard_actors::model::event::Kind;
use callboard_actors::model::identity::{Role, UserRef};
use callboard_actors::model::page::Page;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::store::convert::{column, micros, moment, no_nul, raw, seq};
use crate::store::page::{Key, Scope};
use crate::store::{Result, Store};

/// Who reads the history: what they may see depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    pub id: Uuid,
    pub role: Role,
}

/// Which rows a list shows. Nothing set: all that the reader may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub action: Option<String>,
    pub user_id: Option<Uuid>,
    pub from: Option<DateTime<Utc>>,
    pub to: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct Row {
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
    fn activity(self) -> Result<Activity> {
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
            ip: self.ip,
            created_at: moment(self.created_at)?,
        })
    }
}

/// What happened to one resource, newest first.
///
/// What happened to episodes, jobs, files and compositions is public; all else only its user sees, and the admins; what
/// admins did as such only they.
pub async fn for_resource(
    store: &Store,
    kind: &str,
    id: &str,
    filter: &Filter,
    limit: u32,
    cursor: Option<&str>,
    reader: Reader,
) -> Result<Page<Activity>> {
    no_nul([
        ("resource_type", Some(kind)),
        ("resource_id", Some(id)),
        ("action", filter.action.as_deref()),
    ])?;
    let scope = Scope::new("activity of a resource", &(kind, id, filter));
    let Key(before, _) = scope.start(cursor)?;
    let mut conn = store.read().await?;
    let rows = sql!(
        &mut conn,
        "SELECT id, seq, action, user_id, user_name, resource_type, resource_id, resource_name, changes, metadata, ip,
                created_at
         FROM activity
         WHERE resource_type = $1 AND resource_id = $2 AND seq < $3
           AND ($4 OR ((resource_type IN ('episode', 'job', 'file', 'composition') OR user_id = $5) AND action <> $6))
           AND ($7 IS NULL OR action = $7) AND ($8 IS NULL OR user_id = $8)
           AND ($9 IS NULL OR created_at >= $9) AND ($10 IS NULL OR created_at <= $10)
         ORDER BY seq DESC LIMIT $11",
        kind, id, before, reader.role == Role::Admin, reader.id, Kind::AdminAction.name(), &filter.action,
        filter.user_id, filter.from.map(micros), filter.to.map(micros), i64::from(limit) + 1 => all Row
    )?;
    let rows = rows
        .into_iter()
        .map(Row::activity)
        .collect::<Result<Vec<_>>>()?;
    Ok(scope.page(rows, limit, |row| Key(column(row.seq), Uuid::nil())))
}
