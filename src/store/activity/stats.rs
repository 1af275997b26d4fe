//! Figures of the history: from the counts of whole days, and at the edges of what is asked for from the rows.

use callboard_actors::model::identity::UserRef;
use callboard_actors::model::policy::SeenBy;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::derive::DAY;
use super::read::{Filter, Reader};
use super::seen_by_id;
use crate::store::convert::{micros, moment};
use crate::store::{Conn, Result, Store};

/// Days that figures are of when nobody says how many.
const DAYS: i64 = 30;

/// How many of the reader's rows there are.
#[derive(Clone, Debug, Serialize)]
pub struct Stats {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub total: i64,
    /// Most first; so are the others but the days.
    pub by_action: Vec<ActionCount>,
    pub by_resource_type: Vec<TypeCount>,
    /// The most active hundred.
    pub by_user: Vec<UserCount>,
    /// Of UTC, in their order; a day without a row is left out.
    pub by_day: Vec<DayCount>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ActionCount {
    pub action: String,
    pub count: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TypeCount {
    /// `None`: of nothing in particular.
    pub resource_type: Option<String>,
    pub count: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UserCount {
    pub user: UserRef,
    pub count: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DayCount {
    pub day: NaiveDate,
    pub count: i64,
}

/// What of a time is counted how.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Parts {
    /// The first and the last day that is whole.
    days: (i64, i64),
    /// What is before them and behind them: from, and before.
    edges: [(i64, i64); 2],
}

impl Parts {
    /// From, and up to, in microseconds. Nothing is later than `now`, so that its day is whole if it is not cut off.
    fn of(from: i64, to: i64, now: i64) -> Parts {
        let end = to.saturating_add(1);
        let first = from.div_euclid(DAY) + i64::from(from.rem_euclid(DAY) > 0);
        let last = match to >= now {
            true => now.max(from).div_euclid(DAY),
            false => end.div_euclid(DAY) - 1,
        };
        if first > last {
            return Parts {
                days: (1, 0),
                edges: [(from, end), (0, 0)],
            };
        }
        Parts {
            days: (first, last),
            edges: [
                (from, first.saturating_mul(DAY)),
                ((last + 1).saturating_mul(DAY), end),
            ],
        }
    }
}

#[derive(sqlx::FromRow)]
struct Counted {
    what: String,
    name: Option<String>,
    user_id: Option<Uuid>,
    day: Option<i64>,
    count: i64,
}

const TEXT: &str = "
    WITH counted AS MATERIALIZED (
        SELECT day, action, resource_type, user_id, count FROM activity_counts
        WHERE day >= $1 AND day <= $2 AND ($7 OR seen_by = $8 OR seen_by = $9)
          AND ($10 IS NULL OR action = $10) AND ($11 IS NULL OR resource_type = $11)
          AND ($12 IS NULL OR user_id = $12)
        UNION ALL
        SELECT created_at / 86400000000, action, COALESCE(resource_type, ''), COALESCE(user_id, $13), 1 FROM activity
        WHERE created_at >= $3 AND created_at < $4 AND ($7 OR seen_by = $8 OR seen_by = $9)
          AND ($10 IS NULL OR action = $10) AND ($11 IS NULL OR resource_type = $11)
          AND ($12 IS NULL OR user_id = $12)
        UNION ALL
        SELECT created_at / 86400000000, action, COALESCE(resource_type, ''), COALESCE(user_id, $13), 1 FROM activity
        WHERE created_at >= $5 AND created_at < $6 AND ($7 OR seen_by = $8 OR seen_by = $9)
          AND ($10 IS NULL OR action = $10) AND ($11 IS NULL OR resource_type = $11)
          AND ($12 IS NULL OR user_id = $12)
    )
    SELECT 'action' AS what, action AS name, CAST(NULL AS UUID) AS user_id, CAST(NULL AS BIGINT) AS day,
           CAST(SUM(count) AS BIGINT) AS count
    FROM counted GROUP BY action
    UNION ALL
    SELECT 'type', resource_type, CAST(NULL AS UUID), CAST(NULL AS BIGINT), CAST(SUM(count) AS BIGINT)
    FROM counted GROUP BY resource_type
    UNION ALL
    SELECT 'day', CAST(NULL AS TEXT), CAST(NULL AS UUID), day, CAST(SUM(count) AS BIGINT) FROM counted GROUP BY day
    UNION ALL
    SELECT * FROM (
        SELECT 'user', name, user_id, CAST(NULL AS BIGINT), total
        FROM (SELECT user_id, CAST(SUM(count) AS BIGINT) AS total FROM counted GROUP BY user_id) AS by_user
             JOIN users ON users.id = by_user.user_id
        ORDER BY total DESC, user_id LIMIT 100
    ) AS top";

/// Of a filter's time; without `from` of the last thirty days, today included.
pub async fn stats(store: &Store, filter: &Filter, reader: Reader) -> Result<Stats> {
    filter.check()?;
    of_time(&mut store.read().await?, filter, reader, store.now()).await
}

async fn of_time(
    conn: &mut Conn,
    filter: &Filter,
    reader: Reader,
    now: DateTime<Utc>,
) -> Result<Stats> {
    let to = filter.to.unwrap_or(now);
    let from = match filter.from {
        Some(from) => from,
        None => days_before(to, DAYS - 1)?,
    };
    let Parts { days, edges } = Parts::of(micros(from), micros(to), micros(now));
    let all = reader.sees_all();
    let rows = sql!(
        conn, TEXT, days.0, days.1, edges[0].0, edges[0].1, edges[1].0, edges[1].1, all,
        seen_by_id(SeenBy::Everybody), (!all).then_some(reader.id), &filter.action, &filter.resource_type,
        filter.user_id, Uuid::nil() => all Counted
    )?;
    let mut stats = Stats {
        from,
        to,
        total: 0,
        by_action: Vec::new(),
        by_resource_type: Vec::new(),
        by_user: Vec::new(),
        by_day: Vec::new(),
    };
    for row in rows {
        let count = row.count;
        let name = row.name.unwrap_or_default();
        match (&*row.what, row.user_id, row.day) {
            ("action", ..) => {
                stats.total += count;
                stats.by_action.push(ActionCount {
                    action: name,
                    count,
                });
            }
            ("type", ..) => stats.by_resource_type.push(TypeCount {
                resource_type: Some(name).filter(|name| !name.is_empty()),
                count,
            }),
            ("user", Some(id), _) => stats.by_user.push(UserCount {
                user: UserRef { id, name },
                count,
            }),
            (_, _, Some(day)) => stats.by_day.push(DayCount {
                day: moment(day.saturating_mul(DAY))?.date_naive(),
                count,
            }),
            _ => {}
        }
    }
    let most = std::cmp::Reverse::<i64>;
    stats
        .by_action
        .sort_by(|a, b| (most(a.count), &a.action).cmp(&(most(b.count), &b.action)));
    stats
        .by_resource_type
        .sort_by(|a, b| (most(a.count), &a.resource_type).cmp(&(most(b.count), &b.resource_type)));
    stats
        .by_user
        .sort_by_key(|row| (most(row.count), row.user.id));
    stats.by_day.sort_by_key(|row| row.day);
    Ok(stats)
}

/// The beginning of the day that is so many before that of `at`.
fn days_before(at: DateTime<Utc>, days: i64) -> Result<DateTime<Utc>> {
    let start = micros(at).div_euclid(DAY) * DAY;
    moment(start.saturating_sub(TimeDelta::days(days).num_microseconds().unwrap_or(0)))
}

/// What an admin sees at a glance.
#[derive(Clone, Debug)]
pub struct Dashboard {
    /// Rows of all time that are kept.
    pub total: i64,
    pub today: Stats,
    /// Today included.
    pub week: Stats,
    pub episodes_by_status: Vec<(String, i64)>,
    /// Who can come in.
    pub users_by_role: Vec<(String, i64)>,
    pub users_disabled: i64,
    pub notifications_unread: i64,
}

pub async fn dashboard(store: &Store) -> Result<Dashboard> {
    let now = store.now();
    let mut conn = store.read().await?;
    let since = |days| {
        let from = Some(days_before(now, days)?);
        Ok::<_, crate::store::StoreError>(Filter {
            from,
            ..Filter::default()
        })
    };
    let today = of_time(&mut conn, &since(0)?, Reader::PROGRAM, now).await?;
    let week = of_time(&mut conn, &since(6)?, Reader::PROGRAM, now).await?;
    let rows = sql!(
        &mut conn,
        "SELECT 'episodes', status, COUNT(*) FROM episodes GROUP BY status
         UNION ALL SELECT 'users', role, COUNT(*) FROM users WHERE disabled = FALSE GROUP BY role
         UNION ALL SELECT 'disabled', '', COUNT(*) FROM users WHERE disabled = TRUE
         UNION ALL SELECT 'unread', '', COUNT(*) FROM notifications
             WHERE read_at IS NULL AND (expires_at IS NULL OR expires_at > $1)
         UNION ALL SELECT 'activity', '', CAST(COALESCE(SUM(count), 0) AS BIGINT) FROM activity_counts",
        micros(now) => all (String, String, i64)
    )?;
    let of = |what: &str| {
        let rows = rows.iter().filter(|row| row.0 == what);
        rows.map(|row| (row.1.clone(), row.2)).collect::<Vec<_>>()
    };
    let one = |what: &str| of(what).first().map_or(0, |row| row.1);
    Ok(Dashboard {
        total: one("activity"),
        today,
        week,
        episodes_by_status: of("episodes"),
        users_by_role: of("users"),
        users_disabled: one("disabled"),
        notifications_unread: one("unread"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_parted_into_whole_days_and_its_edges() {
        let (h, far) = (DAY / 24, 1000 * DAY);
        let parts = |from, to, now| {
            let Parts { days, edges } = Parts::of(from, to, now);
            (days, edges)
        };
        let none = (1, 0);
        // Whole days, to the last microsecond.
        assert_eq!(
            parts(DAY, 3 * DAY - 1, far),
            ((1, 2), [(DAY, DAY), (3 * DAY, 3 * DAY)])
        );
        // Both ends within days.
        assert_eq!(
            parts(DAY + h, 3 * DAY + h, far),
            ((2, 2), [(DAY + h, 2 * DAY), (3 * DAY, 3 * DAY + h + 1)])
        );
        // Within one day, and across midnight.
        assert_eq!(
            parts(DAY + h, DAY + 2 * h, far),
            (none, [(DAY + h, DAY + 2 * h + 1), (0, 0)])
        );
        assert_eq!(parts(DAY + h, 2 * DAY + h, far).0, none);
        // Up to now or later: today is whole.
        let (days, edges) = parts(DAY, 5 * DAY, 3 * DAY + h);
        assert_eq!(days, (1, 3));
        assert!(
            edges[1].0 == 4 * DAY && edges[1].1 > edges[1].0,
            "and nothing is there"
        );
        // In time to come.
        assert_eq!(parts(9 * DAY + h, 9 * DAY + 2 * h, 3 * DAY).0, none);
    }
}
