//! Users: the rows, their credentials, and with each change of one its entry on the Record.

use std::sync::Arc;

use callboard_actors::model::episode::changes;
use callboard_actors::model::event::Kind;
use callboard_actors::model::identity::{Role, User};
use callboard_actors::model::page::Page;
use callboard_actors::model::record::{Entry, NewEntry, Resource};
use callboard_actors::model::room::{Channel, Namespace};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::convert::{self, corrupt, micros, moment, no_nul, raw, word};
use super::page::{Key, Scope};
use super::{Appended, By, Conn, Result, Store, StoreError, Tx, refresh_tokens};

/// A user to be made.
#[derive(Clone)]
pub struct NewUser {
    pub email: String,
    pub name: String,
    pub role: Role,
    pub team: Option<String>,
    /// `None`: cannot log in with a password.
    pub password_hash: Option<String>,
}

/// What a PATCH may change; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct UserPatch {
    pub email: Option<String>,
    pub name: Option<String>,
    pub role: Option<Role>,
    /// `Some(None)` clears it.
    pub team: Option<Option<String>>,
    pub disabled: Option<bool>,
    pub password: Option<PasswordHash>,
}

/// A new password's hash; it is shown nowhere.
#[derive(Clone)]
pub struct PasswordHash(pub String);

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// What a log-in is checked against. Not `Debug`: a hash is a secret.
#[derive(Clone)]
pub struct Credential {
    pub user: User,
    pub password_hash: Option<String>,
}

macro_rules! columns {
    () => {
        "id, email, name, role, team, disabled, created_at, updated_at"
    };
}

mod outsiders;

pub use outsiders::{Outsider, ensure_user_from_issuer};

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: Uuid,
    email: String,
    name: String,
    role: String,
    team: Option<String>,
    disabled: bool,
    created_at: i64,
    updated_at: i64,
}

impl Row {
    pub(super) fn user(self) -> Result<User> {
        Ok(User {
            id: self.id,
            email: self.email,
            name: self.name,
            role: word(&self.role)?,
            team: self.team,
            disabled: self.disabled,
            created_at: moment(self.created_at)?,
            updated_at: moment(self.updated_at)?,
        })
    }
}

/// Which users to list; what is not given does not narrow.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub role: Option<Role>,
    pub team: Option<String>,
    pub disabled: Option<bool>,
    /// Stands in the name or the address, in whatever case.
    pub q: Option<String>,
}

/// A page of users, newest first.
pub async fn list(
    store: &Store,
    filter: &Filter,
    limit: u32,
    cursor: Option<&str>,
) -> Result<Page<User>> {
    no_nul([("team", filter.team.as_deref()), ("q", filter.q.as_deref())])?;
    let scope = Scope::new("users", filter);
    let Key(at, id) = scope.start(cursor)?;
    let q = filter.q.as_ref().map(|q| q.to_lowercase());
    let mut conn = store.read().await?;
    let text = contains!(
        conn,
        [
            "SELECT ", columns!(), " FROM users
             WHERE ($1 IS NULL OR role = $1) AND ($2 IS NULL OR team = $2) AND ($3 IS NULL OR disabled = $3)
               AND ($4 IS NULL OR "
        ],
        "folded", "$4",
        [") AND (created_at, id) < ($5, $6) ORDER BY created_at DESC, id DESC LIMIT +$7"]
    );
    let rows = sql!(
        &mut conn, text,
        filter.role.map(Role::as_str), &filter.team, filter.disabled, &q, at, id, i64::from(limit) + 1 => all Row
    )?;
    let rows = rows
        .into_iter()
        .map(Row::user)
        .collect::<Result<Vec<_>>>()?;
    Ok(scope.page(rows, limit, |row| Key(micros(row.created_at), row.id)))
}

pub async fn find(store: &Store, id: Uuid) -> Result<Option<User>> {
    select(&mut store.read().await?, id).await
}

pub async fn get(store: &Store, id: Uuid) -> Result<User> {
    find(store, id).await?.ok_or(StoreError::NotFound)
}

/// Those of these ids that are nobody's.
pub async fn unknown(store: &Store, ids: &[Uuid]) -> Result<Vec<Uuid>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let list: Vec<_> = ids.iter().map(|id| id.simple().to_string()).collect();
    let mut conn = store.read().await?;
    let text = by_database!(
        conn,
        sqlite: "SELECT id FROM users WHERE id IN (SELECT unhex(value) FROM json_each($1))",
        postgres: "SELECT id FROM users WHERE id IN (SELECT value::uuid FROM json_array_elements_text($1::json))",
    );
    let known = sql!(&mut conn, text, &convert::json(&list)? => all (Uuid,))?;
    let known: std::collections::HashSet<_> = known.into_iter().collect();
    let ids = ids.iter().copied();
    Ok(ids.filter(|id| !known.contains(&(*id,))).collect())
}

pub(super) async fn select(conn: &mut Conn, id: Uuid) -> Result<Option<User>> {
    sql!(conn, concat!("SELECT ", columns!(), " FROM users WHERE id = $1"), id => optional Row)?
        .map(Row::user)
        .transpose()
}

pub async fn find_by_email(store: &Store, email: &str) -> Result<Option<User>> {
    let mut conn = store.read().await?;
    by_email(&mut conn, email).await
}

async fn by_email(conn: &mut Conn, email: &str) -> Result<Option<User>> {
    if email.contains('\0') {
        return Ok(None);
    }
    sql!(
        conn,
        concat!("SELECT ", columns!(), " FROM users WHERE email_key = $1"), email_key(email) => optional Row
    )?
    .map(Row::user)
    .transpose()
}

/// The user with this e-mail and what its password is checked against.
pub async fn credential(store: &Store, email: &str) -> Result<Option<Credential>> {
    let mut conn = store.read().await?;
    let Some(user) = by_email(&mut conn, email).await? else {
        return Ok(None);
    };
    let (password_hash,) = sql!(
        &mut conn,
        "SELECT password_hash FROM users WHERE id = $1", user.id => one (Option<String>,)
    )?;
    Ok(Some(Credential {
        user,
        password_hash,
    }))
}

/// How many admins there are, disabled ones included.
pub async fn count_admins(store: &Store) -> Result<u64> {
    let mut conn = store.read().await?;
    let (count,) = sql!(
        &mut conn,
        "SELECT COUNT(*) FROM users WHERE role = 'admin'" => one (i64,)
    )?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// 409 `email_taken` if there is one with this e-mail, in whatever case.
pub async fn insert(store: &Store, new: NewUser, by: By) -> Result<(User, Arc<Entry>)> {
    check(&new)?;
    let now = store.now();
    let (user, appended) = store
        .write(move |tx| Box::pin(create(tx, new, None, now, by)))
        .await?;
    Ok((user, appended.entry()))
}

/// Makes the first admin; `None` if there is an admin already.
pub async fn insert_first_admin(store: &Store, new: NewUser) -> Result<Option<User>> {
    check(&new)?;
    let now = store.now();
    let made = store
        .write(move |tx| {
            Box::pin(async move {
                let admin = sql!(
                    tx,
                    "SELECT id FROM users WHERE role = 'admin' LIMIT 1" => optional (Uuid,)
                )?;
                if admin.is_some() {
                    return Ok(None);
                }
                let (user, _) = create(tx, new, None, now, By::nobody()).await?;
                Ok(Some(user))
            })
        })
        .await;
    match made {
        // Another node was faster.
        Err(StoreError::Conflict { .. }) if count_admins(store).await? > 0 => Ok(None),
        made => made,
    }
}

/// Changes a user. One that changes nothing puts nothing on the Record. Disabling one and a new password end its refresh
/// tokens; of a password the Record learns that it changed, and no more. The last admin who can log in stays one: 409
/// `last_admin`.
pub async fn update(
    store: &Store,
    id: Uuid,
    patch: UserPatch,
    by: By,
) -> Result<(User, Option<Arc<Entry>>)> {
    no_nul([
        ("email", patch.email.as_deref()),
        ("name", patch.name.as_deref()),
        ("team", patch.team.as_ref().and_then(Option::as_deref)),
    ])?;
    let now = store.now();
    let (user, appended) = store
        .write(move |tx| Box::pin(change(tx, id, patch, now, by)))
        .await?;
    Ok((user, appended.map(|appended| appended.entry())))
}

async fn change(
    tx: &mut Tx,
    id: Uuid,
    patch: UserPatch,
    now: DateTime<Utc>,
    by: By,
) -> Result<(User, Option<Appended>)> {
    // All admins, in one order, so that two of them cannot take the role from each other at once.
    let text = locked!(
        tx,
        "SELECT id FROM users WHERE role = 'admin' AND disabled = FALSE ORDER BY id"
    );
    let admins = sql!(tx, text => all (Uuid,))?;
    let text = locked!(tx, "SELECT ", columns!(), " FROM users WHERE id = $1");
    let row = sql!(tx, text, id => optional Row)?;
    let old = row.ok_or(StoreError::NotFound)?.user()?;
    let user = User {
        email: patch.email.unwrap_or_else(|| old.email.clone()),
        name: patch.name.unwrap_or_else(|| old.name.clone()),
        role: patch.role.unwrap_or(old.role),
        team: patch.team.unwrap_or_else(|| old.team.clone()),
        disabled: patch.disabled.unwrap_or(old.disabled),
        ..old.clone()
    };
    if user == old && patch.password.is_none() {
        return Ok((old, None));
    }
    let admin = user.role == Role::Admin && !user.disabled;
    if !admin && admins == [(id,)] {
        return Err(StoreError::Conflict { code: "last_admin" });
    }
    let user = User {
        updated_at: now,
        ..user
    };
    sql!(
        tx,
        "UPDATE users
         SET name = $2, role = $3, team = $4, disabled = $5, updated_at = $6, email = $7, email_key = $8, folded = $9,
             password_hash = COALESCE($10, password_hash) WHERE id = $1",
        id, &user.name, user.role.as_str(), &user.team, user.disabled, micros(now), &user.email,
        email_key(&user.email), folded(&user), patch.password.as_ref().map(|it| &it.0) => execute
    )?;
    let new_password = patch.password.is_some();
    if user.disabled && !old.disabled || new_password {
        refresh_tokens::revoke_all(tx, id, now).await?;
    }
    let secrets: &[&str] = if new_password { &["password"] } else { &[] };
    let appended = changed(tx, &user, &old, secrets, now, by)?;
    Ok((user, Some(appended)))
}

async fn create(
    tx: &mut Tx,
    new: NewUser,
    subject: Option<String>,
    now: DateTime<Utc>,
    by: By,
) -> Result<(User, Appended)> {
    let user = User {
        id: Uuid::now_v7(),
        email: new.email,
        name: new.name,
        role: new.role,
        team: new.team,
        disabled: false,
        created_at: now,
        updated_at: now,
    };
    sql!(
        tx,
        "INSERT INTO users (id, email, email_key, name, role, team, disabled, password_hash, subject, created_at,
                            updated_at, folded)
         VALUES ($1, $2, $3, $4, $5, $6, FALSE, $7, $8, $9, $9, $10)",
        user.id, &user.email, email_key(&user.email), &user.name, user.role.as_str(), &user.team, &new.password_hash,
        &subject, micros(now), folded(&user) => execute
    )?;
    let data = object(&user)?;
    let appended = record(tx, Kind::UserCreated, user.id, data, now, by)?;
    Ok((user, appended))
}

/// The entry of a change; of `secrets` it says that they changed, not to what.
fn changed(
    tx: &mut Tx,
    user: &User,
    old: &User,
    secrets: &[&str],
    at: DateTime<Utc>,
    by: By,
) -> Result<Appended> {
    let mut data = object(user)?;
    let (old, new) = (object(old)?, Value::Object(data.clone()));
    let mut changes = changes(&Value::Object(old), &new);
    let secrets = secrets.iter().map(|name| ((*name).to_owned(), json!({})));
    changes.extend(secrets);
    data.insert("changes".into(), Value::Object(changes));
    record(tx, Kind::UserUpdated, user.id, data, at, by)
}

fn record(
    tx: &mut Tx,
    kind: Kind,
    id: Uuid,
    data: Map<String, Value>,
    at: DateTime<Utc>,
    by: By,
) -> Result<Appended> {
    tx.append(NewEntry {
        id: Uuid::now_v7(),
        at,
        event: kind.name().into(),
        actor: by.user,
        resource: Some(Resource {
            kind: "user".into(),
            id: id.to_string(),
        }),
        audience: vec![Channel::all(Namespace::Admin)],
        data: raw(convert::json(&data)?)?,
        origin: by.origin,
    })
}

/// The user as the API shows it: [`User`] has no secret in it.
fn object(user: &User) -> Result<Map<String, Value>> {
    match serde_json::to_value(user) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(corrupt("object", "user")),
    }
}

fn email_key(email: &str) -> String {
    email.to_lowercase()
}

fn folded(user: &User) -> String {
    format!("{}\n{}", user.name.to_lowercase(), email_key(&user.email))
}

fn check(new: &NewUser) -> Result<()> {
    no_nul([
        ("email", Some(new.email.as_str())),
        ("name", Some(new.name.as_str())),
        ("team", new.team.as_deref()),
    ])
}
