//! Whom a notice is for, with what they prefer, and how many they have had.

use callboard_actors::model::notice::Audience;
use callboard_actors::model::notification::Hour;
use callboard_actors::model::preferences::Preferences;
use callboard_actors::ports::Recipient;
use uuid::Uuid;

use crate::store::convert::{json, micros, no_nul, parse};
use crate::store::{Result, Store};

/// Those of an audience who may log in, by id after `after`, at most `limit`.
pub async fn of(
    store: &Store,
    to: &Audience,
    except: Option<Uuid>,
    after: Option<Uuid>,
    limit: usize,
) -> Result<Vec<Recipient>> {
    no_nul([("team", to.team.as_deref())])?;
    let after = after.unwrap_or(Uuid::nil());
    // Nobody has it: ids are made by the program.
    let except = except.unwrap_or(Uuid::nil());
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut conn = store.read().await?;
    let rows = if to.all {
        sql!(
            &mut conn,
            "SELECT users.id, preferences FROM users LEFT JOIN notification_preferences ON user_id = users.id AND user_id > $1
             WHERE disabled = FALSE AND users.id > $1 AND users.id <> $2 ORDER BY users.id LIMIT +$3",
            after, except, limit => all (Uuid, Option<String>)
        )?
    } else {
        let users = to.users.iter().filter(|id| **id > after);
        let users: Vec<_> = users.map(|id| id.simple().to_string()).collect();
        let text = by_database!(
            conn,
            sqlite: "SELECT users.id, preferences FROM users LEFT JOIN notification_preferences ON user_id = users.id AND user_id > $1
                     WHERE disabled = FALSE AND users.id > $1 AND users.id <> $2 AND users.id IN
                        (SELECT id FROM users WHERE role = $3 UNION SELECT id FROM users WHERE team = $4
                         UNION SELECT unhex(value) FROM json_each($5))
                     ORDER BY users.id LIMIT +$6",
            postgres: "SELECT users.id, preferences FROM users LEFT JOIN notification_preferences ON user_id = users.id AND user_id > $1
                       WHERE disabled = FALSE AND users.id > $1 AND users.id <> $2 AND users.id IN
                          (SELECT id FROM users WHERE role = $3 UNION SELECT id FROM users WHERE team = $4
                           UNION SELECT value::uuid FROM json_array_elements_text($5::json))
                       ORDER BY users.id LIMIT +$6",
        );
        sql!(
            &mut conn, text,
            after, except, to.role.map(|role| role.as_str()), &to.team, &json(&users)?, limit
            => all (Uuid, Option<String>)
        )?
    };
    let recipient = |(user_id, preferences): (Uuid, Option<String>)| {
        Ok(Recipient {
            user_id,
            preferences: match preferences {
                Some(text) => parse(&text)?,
                None => Preferences::default(),
            },
        })
    };
    rows.into_iter().map(recipient).collect()
}

/// How many each of these has had in the hour that count against its limit; who has had none is left out.
pub async fn counts(store: &Store, hour: Hour, users: &[Uuid]) -> Result<Vec<(Uuid, u32)>> {
    let users: Vec<_> = users.iter().map(|id| id.simple().to_string()).collect();
    let mut conn = store.read().await?;
    let text = by_database!(
        conn,
        sqlite: "SELECT user_id, COUNT(*) FROM notification_decisions
                 WHERE user_id IN (SELECT unhex(value) FROM json_each($1)) AND at >= $2 AND at < $3 AND counted = TRUE
                 GROUP BY user_id",
        postgres: "SELECT user_id, COUNT(*) FROM notification_decisions
                   WHERE user_id IN (SELECT value::uuid FROM json_array_elements_text($1::json)) AND at >= $2 AND at < $3
                     AND counted = TRUE
                   GROUP BY user_id",
    );
    let rows = sql!(
        &mut conn, text,
        &json(&users)?, micros(hour.start()), micros(hour.end()) => all (Uuid, i64)
    )?;
    let count = |(id, count)| (id, u32::try_from(count).unwrap_or(u32::MAX));
    Ok(rows.into_iter().map(count).collect())
}
